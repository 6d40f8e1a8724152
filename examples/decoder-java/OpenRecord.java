// Opens grants and records of a Headgate gateway, signed ones too, as docs/reference/uplink.md describes them.
// Needs BouncyCastle (bcprov) and a zstd; aircompressor is zstd in plain Java.
//
//   java -cp bcprov.jar:aircompressor.jar OpenRecord.java ../../docs/reference/uplink.md
//
// reads the worked example of that page and prints its readings.

import io.airlift.compress.zstd.ZstdDecompressor;
import java.io.ByteArrayInputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
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
import org.bouncycastle.crypto.util.PublicKeyFactory;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.util.BigIntegers;

public final class OpenRecord {
    static final byte[] ID = "1234567812345678".getBytes(StandardCharsets.US_ASCII);
    static final byte[] KEY_LABEL = "headgate-record-key-v1".getBytes(StandardCharsets.US_ASCII);
    static final byte[] CHAIN_LABEL = "headgate-chain-v1".getBytes(StandardCharsets.US_ASCII);
    static final int MAX_GRANT = 16 << 10, MAX_RECORD = 2 << 20, MAX_PAYLOAD = 4 << 20, MAX_RECEIPT = 64 << 10;
    static final int MAX_WINDOW = 8 << 20;
    static final Pattern GATEWAY = Pattern.compile("[a-z0-9-]{1,64}");

    /** What was sent is not what the page allows, or not from whom it says; `verdict` as in tests/vectors/envelope. */
    static final class Refused extends Exception {
        final String verdict;
        Refused(String verdict, String why) { super(why); this.verdict = verdict; }
    }

    /** A record key, whose it is, and what proves its records: `signer` is null where they are not signed. */
    record Key(String gateway, byte[] epoch, byte[] keyId, byte[] salt, byte[] key, byte[] core, byte[] signer) {}

    /** A payload and, of a signed record, its link and the link of the record before. */
    record Opened(byte[] payload, byte[] link, byte[] previous) {}

    static void check(boolean right, String verdict, String why) throws Refused {
        if (!right) throw new Refused(verdict, why);
    }

    // ---------------------------------------------------------------- grant, section 4

    static Key openGrant(byte[] message, List<X509Certificate> roots, byte[] ownCertificate, BigInteger ownKey, Date at,
            Set<String> revoked) throws Exception {
        check(message.length <= MAX_GRANT, "form", "grant: too long");
        check(startsWith(message, 'H', 'G', 2, 1), "form", "grant: not one");
        List<?> parts = list(unpack(message, 4), 4, 1 << 20);
        byte[] core = bytes(parts.get(0)), recipients = bytes(parts.get(1)), signature = bytes(parts.get(2), 80);
        List<?> certificates = list(parts.get(3), 1, 4);
        for (Object each : certificates) bytes(each);
        List<?> fields = list(unpack(core, 0), 7, 1 << 20);
        check("headgate-grant-v1".equals(fields.get(0)) && Long.valueOf(1).equals(fields.get(1)), "form", "grant: label or suite");
        String gateway = gateway(fields.get(2));
        byte[] signer = exactly(fields.get(3), 32), epoch = exactly(fields.get(4), 8);
        byte[] keyId = exactly(fields.get(5), 8), salt = exactly(fields.get(6), 4);
        Object policy = fields.size() > 7 ? fields.get(7) : 0L;
        check(Long.valueOf(0).equals(policy) || Long.valueOf(1).equals(policy), "form", "grant: policy");
        byte[] own = sm3(ownCertificate), wrapped = null;
        List<?> entries = list(unpack(recipients, 0), 1, 8);
        for (Object each : entries) {
            List<?> entry = list(each, 2, 1 << 20);
            byte[] sealed = bytes(entry.get(1), 512);
            check(sealed.length > 0, "form", "grant: recipient");
            if (Arrays.equals(exactly(entry.get(0), 32), own)) wrapped = sealed;
        }
        check(entries.size() == 1 || policy.equals(1L), "form", "grant: several recipients, and nothing signed");

        // The chain: here a root has signed the gateway's certificate itself, without intermediates.
        X509Certificate certificate = trusted(bytes(certificates.get(0)), roots, at, revoked);
        byte[] spki = certificate.getPublicKey().getEncoded();
        X500Name subject = X500Name.getInstance(certificate.getSubjectX500Principal().getEncoded());
        byte[] records = spki;
        if (!Arrays.equals(signer, sm3(spki))) {  // renewed since: the earlier certificate came along
            byte[] earlier = null;
            for (Object each : certificates.subList(1, certificates.size()))
                if (Arrays.equals(signer, sm3(certificate(bytes(each)).getPublicKey().getEncoded()))) earlier = bytes(each);
            check(earlier != null, "signature", "grant: other key");
            X500Name names = X500Name.getInstance(certificate(earlier).getSubjectX500Principal().getEncoded());
            check(names.getRDNs(BCStyle.CN)[0].getFirst().getValue().toString().equals(gateway), "signature", "grant: other key");
            X509Certificate former = trusted(earlier, roots, null, policy.equals(1L) ? revoked : Set.of());
            records = former.getPublicKey().getEncoded();
        }
        check(subject.getRDNs(BCStyle.CN)[0].getFirst().getValue().toString().equals(gateway), "signature", "grant: other gateway");
        byte[] signed = join(ByteBuffer.allocate(4).putInt(core.length).array(), core, recipients);
        check(verify(spki, signed, signature), "signature", "grant: signature");

        check(wrapped != null, "recipient", "grant: for other recipients");
        byte[] secret;
        try {
            secret = unwrap(wrapped, ownKey);
        } catch (Exception error) {
            throw new Refused("seal", "grant: " + error.getMessage());
        }
        check(secret.length == 32, "seal", "grant: secret");
        byte[] key = new byte[16];
        HKDFBytesGenerator hkdf = new HKDFBytesGenerator(new SM3Digest());
        hkdf.init(new HKDFParameters(secret, null, join(KEY_LABEL, sm3(core))));
        hkdf.generateBytes(key, 0, key.length);
        return new Key(gateway, epoch, keyId, salt, key, sm3(core), policy.equals(1L) ? records : null);
    }

    /** A gateway's certificate: signed by a root, in its time, not revoked, of the right role and usage. */
    static X509Certificate trusted(byte[] der, List<X509Certificate> roots, Date at, Set<String> revoked) throws Refused {
        try {
            X509Certificate found = certificate(der);
            if (at != null) found.checkValidity(at);
            check(!revoked.contains(hex(sm3(der))), "certificate", "grant: revoked");
            check(found.getBasicConstraints() == -1, "certificate", "grant: a CA");
            check(found.getKeyUsage() != null && found.getKeyUsage()[0], "certificate", "grant: key usage");
            X500Name subject = X500Name.getInstance(found.getSubjectX500Principal().getEncoded());
            check(subject.getRDNs(BCStyle.OU).length == 1 && subject.getRDNs(BCStyle.CN).length == 1, "certificate", "grant: names");
            String role = subject.getRDNs(BCStyle.OU)[0].getFirst().getValue().toString();
            check(role.equals("headgate-gateway"), "certificate", "grant: role");
            for (X509Certificate root : roots) {
                if (!root.getSubjectX500Principal().equals(found.getIssuerX500Principal())) continue;
                found.verify(root.getPublicKey(), "BC");
                return found;
            }
        } catch (Refused refused) {
            throw refused;
        } catch (Exception error) {
            throw new Refused("certificate", "grant: " + error.getMessage());
        }
        throw new Refused("certificate", "grant: no root has signed its certificate");
    }

    static boolean verify(byte[] spki, byte[] message, byte[] signature) throws Exception {
        SM2Signer verifier = new SM2Signer();
        verifier.init(false, new ParametersWithID(PublicKeyFactory.createKey(spki), ID));
        verifier.update(message, 0, message.length);
        return verifier.verifySignature(signature);
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

    static Opened openRecord(byte[] record, Key key) throws Exception {
        check(record.length >= 56 && record.length <= MAX_RECORD, "form", "record: size");
        boolean isSigned = record[2] == 8;
        check(startsWith(record, 'H', 'G', isSigned ? 8 : 1, 1, 1, 0, 0, 0) && record[24] >= 0, "form", "record: header");
        check(Arrays.equals(Arrays.copyOfRange(record, 8, 16), key.keyId), "key", "record: other key");
        check(Arrays.equals(Arrays.copyOfRange(record, 16, 24), key.epoch), "key", "record: other epoch");
        byte[] header = Arrays.copyOf(record, 32);
        byte[] nonce = join(key.salt, Arrays.copyOfRange(record, 24, 32));
        GCMBlockCipher gcm = new GCMBlockCipher(new SM4Engine());
        gcm.init(false, new AEADParameters(new KeyParameter(key.key), 128, nonce, header));
        byte[] plain = new byte[gcm.getOutputSize(record.length - 32)];
        int at = gcm.processBytes(record, 32, record.length - 32, plain, 0);
        gcm.doFinal(plain, at);  // throws where the tag is wrong

        // With a key that others have too, nothing but the signature says whose word this is.
        boolean mustSign = key.signer != null;
        check(isSigned == mustSign, "origin", "record: signed, or not, against its key");
        String wrong = mustSign ? "origin" : "content";
        ByteBuffer head = ByteBuffer.wrap(plain);
        long length = Integer.toUnsignedLong(head.getInt()), size = Integer.toUnsignedLong(head.getInt());
        int start = 8;
        if (isSigned) {
            check(plain.length >= 41 && plain[8] >= 1 && plain[8] <= 80, wrong, "record: signature");
            start = 41 + plain[8];
        }
        check(start + length <= plain.length, wrong, "record: lengths");
        int end = start + (int) length;
        for (int i = end; i < plain.length; i++) check(plain[i] == 0, wrong, "record: padding");
        byte[] frame = Arrays.copyOfRange(plain, start, end), link = null, previous = null;
        if (isSigned) {
            previous = Arrays.copyOfRange(plain, 9, 41);
            byte[] statement = join(CHAIN_LABEL, key.core, header, previous, Arrays.copyOf(plain, 8), sm3(frame));
            check(verify(key.signer, statement, Arrays.copyOfRange(plain, 41, start)), "origin", "record: signature");
            link = sm3(statement);
        }
        check(size <= MAX_PAYLOAD, "content", "record: size");
        try {
            byte[] payload = inflate(frame, (int) size);
            checkPayload(payload);
            return new Opened(payload, link, previous);
        } catch (Refused | RuntimeException error) {
            throw new Refused("content", "record: " + error.getMessage());
        }
    }

    /** One zstd frame (RFC 8878), of a window of at most 8 MiB, that gives exactly `size` bytes. */
    static byte[] inflate(byte[] frame, int size) throws Refused {
        ByteBuffer in = ByteBuffer.wrap(frame).order(ByteOrder.LITTLE_ENDIAN);
        check(in.remaining() >= 5 && in.getInt() == 0xFD2FB528, "content", "zstd: no frame");
        int descriptor = in.get() & 0xff;
        boolean single = (descriptor & 32) != 0;
        check((descriptor & 3) == 0, "content", "zstd: a dictionary");
        if (!single) {
            int window = in.get() & 0xff;
            long base = 1L << 10 + (window >> 3);
            check(base + base / 8 * (window & 7) <= MAX_WINDOW, "content", "zstd: window");
        }
        long content = switch (descriptor >> 6) {
            case 0 -> single ? in.get() & 0xff : -1;
            case 1 -> (in.getShort() & 0xffff) + 256;
            case 2 -> Integer.toUnsignedLong(in.getInt());
            default -> in.getLong();
        };
        check(content == -1 || content == size, "content", "zstd: another size");
        for (boolean last = false; !last;) {
            int block = in.get() & 0xff | (in.get() & 0xff) << 8 | (in.get() & 0xff) << 16;
            last = (block & 1) != 0;
            in.position(in.position() + ((block >> 1 & 3) == 1 ? 1 : block >> 3));
        }
        if ((descriptor & 4) != 0) in.getInt();
        check(!in.hasRemaining(), "content", "zstd: more behind the frame");
        byte[] payload = new byte[size];
        int got = new ZstdDecompressor().decompress(frame, 0, frame.length, payload, 0, size);
        check(got == size, "content", "zstd: another size");
        return payload;
    }

    /** The frame of sections 5 and 6; what is inside an item is for who reads it. */
    static void checkPayload(byte[] payload) throws Refused {
        List<?> parts = list(unpack(payload, 0), 5, 1 << 20);
        check(parts.get(0).equals(1L), "content", "payload: version");
        exactly(parts.get(1), 16);
        List<?> tables = list(parts.get(2), 0, 4096);
        for (Object each : tables) exactly(each, 32);
        for (Object each : list(parts.get(3), 0, 4096)) bytes(each);
        for (Object each : list(parts.get(4), 0, 65536)) {
            List<?> item = list(each, 1, 1 << 20);
            check(item.get(0) instanceof Long && !item.get(0).equals(2L), "content", "payload: item");
            if (!item.get(0).equals(1L)) continue;
            check(item.size() > 2 && item.get(2) instanceof Long table && table >= 0 && table < tables.size(), "content", "payload: table");
        }
    }

    // ---------------------------------------------------------------- receipt, section 9, as a gateway reads it

    static void checkReceipt(byte[] message, List<byte[]> pinned, String gateway) throws Exception {
        check(message.length <= MAX_RECEIPT && startsWith(message, 'H', 'G', 3, 1), "form", "receipt: not one");
        List<?> parts = list(unpack(message, 4), 2, 1 << 20);
        byte[] body = bytes(parts.get(0));
        List<byte[]> signatures = new ArrayList<>(List.of(bytes(parts.get(1), 80)));
        if (parts.size() > 2)
            for (Object each : list(parts.get(2), 0, 3)) signatures.add(bytes(each, 80));
        boolean believed = false;
        for (byte[] key : pinned)
            for (byte[] each : signatures) believed = believed || verify(key, body, each);
        check(believed, "signature", "receipt: signature");
        List<?> fields = list(unpack(body, 0), 8, 1 << 20);
        check("headgate-receipt-v1".equals(fields.get(0)), "form", "receipt: label");
        String whose = gateway(fields.get(1));
        exactly(fields.get(2), 8);
        number(fields.get(3));
        number(fields.get(4));
        for (int ranges : new int[] {5, 7})
            for (Object each : list(fields.get(ranges), 0, 512)) {
                List<?> range = list(each, 2, 2);
                check(number(range.get(0)) <= number(range.get(1)), "form", "receipt: range");
            }
        for (Object each : list(fields.get(6), 0, 512)) {
            List<?> verdict = list(each, 2, 1 << 20);
            number(verdict.get(0));
            check(verdict.get(1) instanceof Long, "form", "receipt: verdict");
            if (verdict.size() > 2) {
                Object detail = verdict.get(2);
                int size = detail instanceof String text ? text.codePointCount(0, text.length()) : bytes(detail).length;
                check(size <= 120, "form", "receipt: detail");
            }
        }
        if (fields.size() > 8)
            for (Object each : list(fields.get(8), 0, 64)) exactly(each, 8);
        check(whose.equals(gateway), "signature", "receipt: for another gateway");
    }

    // ---------------------------------------------------------------- payload, sections 6 to 8

    /** One line for each reading: device, point, wall time, value, unit, quality, status. Tables must be announced here. */
    static List<String> readings(byte[] payload) throws Exception {
        List<?> parts = list(unpack(payload, 0));
        check(parts.get(0).equals(1L), "form", "payload: version");
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
            check(at(item, 8) == null && at(item, 9) == null, "form", "this example reads whole looks only");
            List<?> table = announced.get(hex(bytes(list(parts.get(2)).get(((Long) item.get(2)).intValue()))));
            check(table != null, "form", "payload: a table that is not announced here");
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
            default -> throw new Refused("form", "this example does not read " + type);
        };
    }

    static String convert(Number raw, Object conversion) throws Refused {
        if (conversion == null) return raw.toString();
        List<?> c = list(conversion);
        check(c.get(0).equals("linear"), "form", "this example converts linear only");
        // One rounding after each operation: Java's double does that since 17 without asking.
        return Double.toString(raw.doubleValue() * (Double) c.get(1) / (Double) c.get(2) + (Double) c.get(3));
    }

    // ---------------------------------------------------------------- msgpack

    static Object unpack(byte[] data, int from) throws Refused {
        try {
            ByteBuffer in = ByteBuffer.wrap(data, from, data.length - from);
            Object value = value(in, 0);
            check(!in.hasRemaining(), "form", "msgpack: more behind the end");
            return value;
        } catch (java.nio.BufferUnderflowException | IllegalArgumentException error) {
            throw new Refused("form", "msgpack: cut off");
        }
    }

    static Object value(ByteBuffer in, int depth) throws Refused {
        check(depth < 32, "form", "msgpack: too deep");
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
            default -> throw new Refused("form", "msgpack: type " + tag);
        };
    }

    static byte[] take(ByteBuffer in, int size) throws Refused {
        check(size >= 0 && size <= in.remaining(), "form", "msgpack: cut off");
        byte[] out = new byte[size];
        in.get(out);
        return out;
    }

    static String text(ByteBuffer in, int size) throws Refused {
        return new String(take(in, size), StandardCharsets.UTF_8);
    }

    static List<Object> array(ByteBuffer in, int size, int depth) throws Refused {
        check(size >= 0 && size <= in.remaining(), "form", "msgpack: cut off");
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
        check(value instanceof List, "form", "not an array");
        return (List<?>) value;
    }

    static List<?> list(Object value, int least, int most) throws Refused {
        List<?> found = list(value);
        check(found.size() >= least && found.size() <= most, "form", "an array of " + found.size());
        return found;
    }

    static byte[] bytes(Object value) throws Refused {
        check(value instanceof byte[], "form", "not bytes");
        return (byte[]) value;
    }

    static byte[] bytes(Object value, int most) throws Refused {
        check(bytes(value).length <= most, "form", "too many bytes");
        return bytes(value);
    }

    static byte[] exactly(Object value, int size) throws Refused {
        check(bytes(value).length == size, "form", "not " + size + " bytes");
        return bytes(value);
    }

    static long number(Object value) throws Refused {
        check(value instanceof Long n && n >= 0, "form", "not a number");
        return (Long) value;
    }

    static String gateway(Object value) throws Refused {
        check(value instanceof String name && GATEWAY.matcher(name).matches(), "form", "not a gateway's id");
        return (String) value;
    }

    static boolean startsWith(byte[] message, int... head) {
        for (int i = 0; i < head.length; i++)
            if (i >= message.length || (message[i] & 0xff) != head[i]) return false;
        return true;
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
        Key key = openGrant(example.get("grant"), List.of(certificate(example.get("root-certificate"))),
            example.get("platform-certificate"), new BigInteger(1, example.get("platform-private-key")), new Date(), Set.of());
        byte[] payload = openRecord(example.get("record"), key).payload();
        System.out.println("gateway " + key.gateway);
        System.out.println("record-key " + hex(key.key));
        System.out.println("payload " + hex(payload));
        for (String line : readings(payload)) System.out.println(line);
    }
}
