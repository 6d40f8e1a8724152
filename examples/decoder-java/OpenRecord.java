// Opens one grant and one record of a Headgate gateway, as docs/reference/uplink.md describes them.
// Needs BouncyCastle (bcprov) and a zstd; aircompressor is zstd in plain Java.
//
//   java -cp bcprov.jar:aircompressor.jar OpenRecord.java ../../docs/reference/uplink.md
//
// reads the worked example of that page and prints its readings.

import io.airlift.compress.zstd.ZstdDecompressor;
import java.io.ByteArrayInputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.gm.GMNamedCurves;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x500.style.BCStyle;
import org.bouncycastle.asn1.x9.X9ECParameters;
import org.bouncycastle.crypto.digests.SM3Digest;
import org.bouncycastle.crypto.engines.SM2Engine;
import org.bouncycastle.crypto.engines.SM4Engine;
import org.bouncycastle.crypto.generators.HKDFBytesGenerator;
import org.bouncycastle.crypto.modes.GCMBlockCipher;
import org.bouncycastle.crypto.params.AEADParameters;
import org.bouncycastle.crypto.params.ECDomainParameters;
import org.bouncycastle.crypto.params.ECPrivateKeyParameters;
import org.bouncycastle.crypto.params.HKDFParameters;
import org.bouncycastle.crypto.params.KeyParameter;
import org.bouncycastle.crypto.params.ParametersWithID;
import org.bouncycastle.crypto.signers.SM2Signer;
import org.bouncycastle.jcajce.provider.asymmetric.util.ECUtil;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.util.BigIntegers;

public final class OpenRecord {
    static final byte[] ID = "1234567812345678".getBytes(StandardCharsets.US_ASCII);
    static final byte[] KEY_LABEL = "headgate-record-key-v1".getBytes(StandardCharsets.US_ASCII);
    static final int MAX_GRANT = 16 << 10, MAX_RECORD = 2 << 20, MAX_PAYLOAD = 4 << 20;

    /** What was sent is not what the page allows, or not from whom it says. */
    static final class Refused extends Exception {
        Refused(String why) { super(why); }
    }

    /** A record key and whose it is. */
    record Key(String gateway, byte[] epoch, byte[] keyId, byte[] salt, byte[] key) {}

    static void check(boolean right, String why) throws Refused {
        if (!right) throw new Refused(why);
    }

    // ---------------------------------------------------------------- grant, section 4

    static Key openGrant(byte[] message, X509Certificate root, byte[] ownCertificate, BigInteger ownKey)
            throws Exception {
        check(message.length <= MAX_GRANT, "grant: too long");
        check(Arrays.equals(Arrays.copyOf(message, 4), new byte[] {'H', 'G', 2, 1}), "grant: not one");
        List<?> parts = list(unpack(message, 4));
        byte[] core = bytes(parts.get(0)), recipients = bytes(parts.get(1)), signature = bytes(parts.get(2));
        List<?> fields = list(unpack(core, 0));
        check(fields.get(0).equals("headgate-grant-v1") && fields.get(1).equals(1L), "grant: label or suite");
        String gateway = (String) fields.get(2);

        // The chain: here the root has signed the gateway's certificate itself, without intermediates.
        X509Certificate certificate = certificate(bytes(list(parts.get(3)).get(0)));
        certificate.checkValidity();
        certificate.verify(root.getPublicKey(), "BC");
        X500Name subject = X500Name.getInstance(certificate.getSubjectX500Principal().getEncoded());
        check(subject.getRDNs(BCStyle.OU)[0].getFirst().getValue().toString().equals("headgate-gateway"), "grant: role");
        check(subject.getRDNs(BCStyle.CN)[0].getFirst().getValue().toString().equals(gateway), "grant: other gateway");
        check(certificate.getKeyUsage() != null && certificate.getKeyUsage()[0], "grant: key usage");
        check(Arrays.equals(bytes(fields.get(3)), sm3(certificate.getPublicKey().getEncoded())), "grant: other key");

        SM2Signer verifier = new SM2Signer();
        verifier.init(false, new ParametersWithID(ECUtil.generatePublicKeyParameter(certificate.getPublicKey()), ID));
        byte[] signed = join(ByteBuffer.allocate(4).putInt(core.length).array(), core, recipients);
        verifier.update(signed, 0, signed.length);
        check(verifier.verifySignature(signature), "grant: signature");

        byte[] own = sm3(ownCertificate), wrapped = null;
        for (Object each : list(unpack(recipients, 0)))
            if (Arrays.equals(bytes(list(each).get(0)), own)) wrapped = bytes(list(each).get(1));
        check(wrapped != null, "grant: for other recipients");
        byte[] secret = unwrap(wrapped, ownKey);
        check(secret.length == 32, "grant: secret");

        byte[] key = new byte[16];
        HKDFBytesGenerator hkdf = new HKDFBytesGenerator(new SM3Digest());
        hkdf.init(new HKDFParameters(secret, null, join(KEY_LABEL, sm3(core))));
        hkdf.generateBytes(key, 0, key.length);
        return new Key(gateway, bytes(fields.get(4)), bytes(fields.get(5)), bytes(fields.get(6)), key);
    }

    /** GM/T 0009: SEQUENCE { x, y, hash, ciphertext }; BouncyCastle wants 04 || x || y || hash || ciphertext. */
    static byte[] unwrap(byte[] wrapped, BigInteger privateKey) throws Exception {
        ASN1Sequence parts = ASN1Sequence.getInstance(wrapped);
        byte[] flat = join(new byte[] {4},
            BigIntegers.asUnsignedByteArray(32, ASN1Integer.getInstance(parts.getObjectAt(0)).getValue()),
            BigIntegers.asUnsignedByteArray(32, ASN1Integer.getInstance(parts.getObjectAt(1)).getValue()),
            ASN1OctetString.getInstance(parts.getObjectAt(2)).getOctets(),
            ASN1OctetString.getInstance(parts.getObjectAt(3)).getOctets());
        X9ECParameters curve = GMNamedCurves.getByName("sm2p256v1");
        ECDomainParameters domain = new ECDomainParameters(curve.getCurve(), curve.getG(), curve.getN(), curve.getH());
        SM2Engine engine = new SM2Engine(SM2Engine.Mode.C1C3C2);
        engine.init(false, new ECPrivateKeyParameters(privateKey, domain));
        return engine.processBlock(flat, 0, flat.length);
    }

    // ---------------------------------------------------------------- record, section 5

    static byte[] openRecord(byte[] record, Key key) throws Exception {
        check(record.length >= 32 + 16 && record.length <= MAX_RECORD, "record: size");
        check(Arrays.equals(Arrays.copyOf(record, 8), new byte[] {'H', 'G', 1, 1, 1, 0, 0, 0}), "record: header");
        check(Arrays.equals(Arrays.copyOfRange(record, 8, 16), key.keyId), "record: other key");
        check(Arrays.equals(Arrays.copyOfRange(record, 16, 24), key.epoch), "record: other epoch");
        byte[] aad = Arrays.copyOf(record, 32);
        byte[] nonce = join(key.salt, Arrays.copyOfRange(record, 24, 32));
        GCMBlockCipher gcm = new GCMBlockCipher(new SM4Engine());
        gcm.init(false, new AEADParameters(new KeyParameter(key.key), 128, nonce, aad));
        byte[] plain = new byte[gcm.getOutputSize(record.length - 32)];
        int at = gcm.processBytes(record, 32, record.length - 32, plain, 0);
        gcm.doFinal(plain, at);  // throws where the tag is wrong

        ByteBuffer head = ByteBuffer.wrap(plain);
        long length = Integer.toUnsignedLong(head.getInt()), size = Integer.toUnsignedLong(head.getInt());
        check(length <= plain.length - 8 && size <= MAX_PAYLOAD, "record: lengths");
        for (int i = 8 + (int) length; i < plain.length; i++) check(plain[i] == 0, "record: padding");
        byte[] payload = new byte[(int) size];
        int got = new ZstdDecompressor().decompress(plain, 8, (int) length, payload, 0, payload.length);
        check(got == payload.length, "record: size after decompression");
        return payload;
    }

    // ---------------------------------------------------------------- payload, sections 6 to 8

    /** One line for each reading: device, point, wall time, value, unit, quality, status. Tables must be announced here. */
    static List<String> readings(byte[] payload) throws Exception {
        List<?> parts = list(unpack(payload, 0));
        check(parts.get(0).equals(1L), "payload: version");
        Map<String, List<?>> announced = new HashMap<>();
        for (Object body : list(parts.get(3)))
            announced.put(hex(sm3(bytes(body))), list(unpack(bytes(body), 0)));
        List<?> fix = null;
        for (Object item : list(parts.get(4)))
            if (list(item).get(0).equals(4L) && "synced".equals(list(item).get(5))) fix = list(item);
        List<String> lines = new ArrayList<>();
        for (Object each : list(parts.get(4))) {
            List<?> item = list(each);
            if (!item.get(0).equals(1L)) continue;
            check(at(item, 8) == null && at(item, 9) == null, "this example reads whole looks only");
            List<?> table = announced.get(hex(bytes(list(parts.get(2)).get(((Long) item.get(2)).intValue()))));
            check(table != null, "payload: a table that is not announced here");
            List<?> points = list(table.get(3));
            byte[] quality = (byte[]) at(item, 6), status = (byte[]) at(item, 7);
            ByteBuffer column = null;
            int columns = 0;
            String run = "";
            for (int i = 0; i < points.size(); i++) {
                List<?> point = list(points.get(i));
                String type = (String) point.get(1);
                if (!type.equals(run)) {  // consecutive points of one type share a column
                    run = type;
                    Object packed = at(item, 5) == null ? null : list(item.get(5)).get(columns++);
                    column = packed == null ? null : ByteBuffer.wrap(bytes(packed));
                }
                int q = quality == null ? 0 : quality[quality.length == 1 ? 0 : i];
                int s = status == null ? 0 : ByteBuffer.wrap(status).getShort(status.length == 2 ? 0 : 2 * i) & 0xffff;
                // A bad point keeps its place in its column: it is read, and not used.
                Number raw = column == null ? null : number(type, column);
                String value = raw == null || q == 2 ? "-" : convert(raw, point.get(3));
                String wall = fix == null ? "-" : "" + ((Long) fix.get(3) + (Long) item.get(3) - (Long) fix.get(2));
                lines.add(String.join(" ", (String) table.get(2), (String) point.get(0), wall, value, (String) point.get(2), "" + q, "" + s));
            }
        }
        return lines;
    }

    static Object at(List<?> item, int index) {
        return index < item.size() ? item.get(index) : null;
    }

    static Number number(String type, ByteBuffer column) throws Refused {
        return switch (type) {
            case "u16" -> (long) Short.toUnsignedInt(column.getShort());
            case "i16" -> (long) column.getShort();
            case "u32" -> Integer.toUnsignedLong(column.getInt());
            case "i32" -> (long) column.getInt();
            case "i64" -> column.getLong();
            case "f32" -> (double) column.getFloat();
            case "f64" -> column.getDouble();
            default -> throw new Refused("this example does not read " + type);
        };
    }

    static String convert(Number raw, Object conversion) throws Refused {
        if (conversion == null) return raw.toString();
        List<?> c = list(conversion);
        check(c.get(0).equals("linear"), "this example converts linear only");
        // One rounding after each operation: Java's double does that since 17 without asking.
        return Double.toString(raw.doubleValue() * (Double) c.get(1) / (Double) c.get(2) + (Double) c.get(3));
    }

    // ---------------------------------------------------------------- msgpack

    static Object unpack(byte[] data, int from) throws Refused {
        try {
            ByteBuffer in = ByteBuffer.wrap(data, from, data.length - from);
            Object value = value(in, 0);
            check(!in.hasRemaining(), "msgpack: more behind the end");
            return value;
        } catch (java.nio.BufferUnderflowException | IllegalArgumentException error) {
            throw new Refused("msgpack: cut off");
        }
    }

    static Object value(ByteBuffer in, int depth) throws Refused {
        check(depth < 32, "msgpack: too deep");
        int tag = in.get() & 0xff;
        if (tag < 0x80) return (long) tag;
        if (tag < 0x90) return map(in, tag & 15, depth);
        if (tag < 0xa0) return array(in, tag & 15, depth);
        if (tag < 0xc0) return text(in, tag & 31);
        if (tag >= 0xe0) return (long) (byte) tag;
        return switch (tag) {
            case 0xc0 -> null;
            case 0xc2 -> false;
            case 0xc3 -> true;
            case 0xc4 -> take(in, in.get() & 0xff);
            case 0xc5 -> take(in, in.getShort() & 0xffff);
            case 0xc6 -> take(in, in.getInt());
            case 0xca -> (double) in.getFloat();
            case 0xcb -> in.getDouble();
            case 0xcc -> (long) (in.get() & 0xff);
            case 0xcd -> (long) (in.getShort() & 0xffff);
            case 0xce -> Integer.toUnsignedLong(in.getInt());
            case 0xcf, 0xd3 -> in.getLong();
            case 0xd0 -> (long) in.get();
            case 0xd1 -> (long) in.getShort();
            case 0xd2 -> (long) in.getInt();
            case 0xd9 -> text(in, in.get() & 0xff);
            case 0xda -> text(in, in.getShort() & 0xffff);
            case 0xdb -> text(in, in.getInt());
            case 0xdc -> array(in, in.getShort() & 0xffff, depth);
            case 0xdd -> array(in, in.getInt(), depth);
            case 0xde -> map(in, in.getShort() & 0xffff, depth);
            default -> throw new Refused("msgpack: type " + tag);
        };
    }

    static byte[] take(ByteBuffer in, int size) throws Refused {
        check(size >= 0 && size <= in.remaining(), "msgpack: cut off");
        byte[] out = new byte[size];
        in.get(out);
        return out;
    }

    static String text(ByteBuffer in, int size) throws Refused {
        return new String(take(in, size), StandardCharsets.UTF_8);
    }

    static List<Object> array(ByteBuffer in, int size, int depth) throws Refused {
        check(size >= 0 && size <= in.remaining(), "msgpack: cut off");
        List<Object> out = new ArrayList<>();
        for (int i = 0; i < size; i++) out.add(value(in, depth + 1));
        return out;
    }

    static Map<Object, Object> map(ByteBuffer in, int size, int depth) throws Refused {
        Map<Object, Object> out = new LinkedHashMap<>();
        for (int i = 0; i < size; i++) out.put(value(in, depth + 1), value(in, depth + 1));
        return out;
    }

    // ---------------------------------------------------------------- bytes

    static List<?> list(Object value) throws Refused {
        check(value instanceof List, "not an array");
        return (List<?>) value;
    }

    static byte[] bytes(Object value) throws Refused {
        check(value instanceof byte[], "not bytes");
        return (byte[]) value;
    }

    static byte[] sm3(byte[] data) {
        SM3Digest digest = new SM3Digest();
        digest.update(data, 0, data.length);
        byte[] out = new byte[32];
        digest.doFinal(out, 0);
        return out;
    }

    static byte[] join(byte[]... parts) {
        ByteBuffer out = ByteBuffer.allocate(Arrays.stream(parts).mapToInt(part -> part.length).sum());
        for (byte[] part : parts) out.put(part);
        return out.array();
    }

    static String hex(byte[] data) {
        return HexFormat.of().formatHex(data);
    }

    static X509Certificate certificate(byte[] der) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", "BC")
            .generateCertificate(new ByteArrayInputStream(der));
    }

    /** The named hex blocks of a page. */
    static Map<String, byte[]> blocks(String page) {
        Map<String, byte[]> found = new HashMap<>();
        Matcher block = Pattern.compile(":name: ([a-z-]+)\n\n([0-9a-f\n]+)```").matcher(page);
        while (block.find()) found.put(block.group(1), HexFormat.of().parseHex(block.group(2).replace("\n", "")));
        return found;
    }

    public static void main(String[] arguments) throws Exception {
        java.security.Security.addProvider(new BouncyCastleProvider());
        Map<String, byte[]> example = blocks(Files.readString(Path.of(arguments[0])));
        Key key = openGrant(example.get("grant"), certificate(example.get("root-certificate")),
            example.get("platform-certificate"), new BigInteger(1, example.get("platform-private-key")));
        byte[] payload = openRecord(example.get("record"), key);
        System.out.println("gateway " + key.gateway);
        System.out.println("record-key " + hex(key.key));
        System.out.println("payload " + hex(payload));
        for (String line : readings(payload)) System.out.println(line);
    }
}
