// Makes the commands that a Headgate gateway takes, and judges its answers, as docs/reference/commands.md describes them.
// Needs Java 17 and BouncyCastle (bcprov) alone; publishing the bytes is any MQTT client's work.
//
//   java -cp bcprov.jar SendCommand.java ../../docs/operate/platform-commands.md
//
// makes the worked example of that page anew, and checks its answers.

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
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
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.bouncycastle.asn1.gm.GMNamedCurves;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x500.style.BCStyle;
import org.bouncycastle.asn1.x9.X9ECParameters;
import org.bouncycastle.crypto.digests.SM3Digest;
import org.bouncycastle.crypto.params.ECDomainParameters;
import org.bouncycastle.crypto.params.ECPrivateKeyParameters;
import org.bouncycastle.crypto.params.ParametersWithID;
import org.bouncycastle.crypto.signers.SM2Signer;
import org.bouncycastle.crypto.util.PublicKeyFactory;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

public final class SendCommand {
    static final byte[] ID = "1234567812345678".getBytes(StandardCharsets.US_ASCII);

    /** What SELECT says and OPERATE repeats. `value` is a Boolean, a Long, a Double, or null with "release". */
    record Content(String gateway, String device, String point, String operation, Object value, String unit,
                   byte[] command, long notBeforeUs, long expiryUs, long leaseS) {}

    /** What came of one message. `done` is true for one state alone: read back. */
    record Answer(byte[] command, String state, String code, String text, byte[] token, long tokenMs, Object value, long leaseMs) {
        boolean done() {
            return state.equals("confirmed");
        }
    }

    /** Your HSM instead of this: a DER signature, SM2 with SM3 and the ID above. */
    interface Signer {
        byte[] sign(byte[] body) throws Exception;
    }

    // ---------------------------------------------------------------- making (section 2)

    static byte[] body(String step, byte[] operatorCertificate, long counter, byte[] token, Content c) throws IOException {
        return pack(Arrays.asList("headgate-command-v1", step, sm3(operatorCertificate), counter, token, c.gateway, c.device,
            c.point, c.operation, c.value, c.unit, c.command, c.notBeforeUs, c.expiryUs, c.leaseS));
    }

    static byte[] message(byte[] body, Signer signer, byte[] operatorCertificate, List<byte[]> approvals) throws Exception {
        byte[] parts = pack(List.of(body, signer.sign(body), List.of(operatorCertificate), approvals));
        return join(new byte[] {'H', 'G', 4, 1}, parts);
    }

    // ---------------------------------------------------------------- believing (section 5)

    /** The answer to the message with this body, or an exception that says why it is none. */
    static Answer answer(byte[] message, byte[] body, String gateway, String step, X509Certificate root, Date at) throws Exception {
        check(message.length <= 8192 && Arrays.equals(Arrays.copyOf(message, 4), new byte[] {'H', 'G', 5, 1}), "form");
        List<?> outer = (List<?>) unpack(Arrays.copyOfRange(message, 4, message.length));
        byte[] signed = (byte[]) outer.get(0), leaf = (byte[]) ((List<?>) outer.get(2)).get(0);
        List<?> said = (List<?>) unpack(signed);
        check(said.size() >= 14 && "headgate-answer-v1".equals(said.get(0)), "form");
        check(Arrays.equals((byte[]) said.get(1), sm3(leaf)), "another certificate than is named");
        X509Certificate certificate = certificate(leaf);
        certificate.verify(root.getPublicKey(), "BC");
        certificate.checkValidity(at);
        check(certificate.getBasicConstraints() == -1 && certificate.getKeyUsage() != null && certificate.getKeyUsage()[0], "key usage");
        X500Name subject = X500Name.getInstance(certificate.getSubjectX500Principal().getEncoded());
        check(only(subject, BCStyle.OU).equals("headgate-gateway"), "role");
        SM2Signer verifier = new SM2Signer();
        verifier.init(false, new ParametersWithID(PublicKeyFactory.createKey(certificate.getPublicKey().getEncoded()), ID));
        verifier.update(signed, 0, signed.length);
        check(verifier.verifySignature((byte[]) outer.get(1)), "signature");
        check(only(subject, BCStyle.CN).equals(said.get(2)) && gateway.equals(said.get(2)), "another gateway");
        check(Arrays.equals((byte[]) said.get(5), sm3(body)) && step.equals(said.get(4)), "an answer to something else");
        return new Answer((byte[]) said.get(3), (String) said.get(6), (String) said.get(7), (String) said.get(8),
            (byte[]) said.get(9), (Long) said.get(10), said.get(11), (Long) said.get(12));
    }

    // ---------------------------------------------------------------- the worked example

    public static void main(String[] arguments) throws Exception {
        java.security.Security.addProvider(new BouncyCastleProvider());
        Map<String, byte[]> page = blocks(Files.readString(Path.of(arguments[0])));
        byte[] operator = page.get("command-operator-certificate");
        Signer signer = signer(new BigInteger(1, page.get("command-operator-private-key")));
        X509Certificate root = certificate(page.get("command-root-certificate"));
        Date at = new Date(1_795_000_000_000L);
        Content content = new Content("gauge-house-7", "ps-001", "pump1_run", "set", true, "1",
            HexFormat.of().parseHex("00112233445566778899aabbccddeeff"), 1_794_999_940_000_000L, 1_795_000_600_000_000L, 900);

        // Unix microseconds are a good counter: they rise, also when this program's memory was lost.
        byte[] select = body("select", operator, 1_795_000_000_000_000L, null, content);
        System.out.println("select " + HexFormat.of().formatHex(select));
        Answer selected = answer(page.get("command-selected"), select, content.gateway, "select", root, at);
        System.out.println("answer " + selected.state + " for " + selected.tokenMs + " ms");

        byte[] operate = body("operate", operator, 1_795_000_000_000_001L, selected.token, content);
        System.out.println("operate " + HexFormat.of().formatHex(operate));
        System.out.println("message " + HexFormat.of().formatHex(
            message(operate, signer, operator, List.of(page.get("command-approval")))));
        for (String name : List.of("command-confirmed", "command-refused")) {
            Answer told = answer(page.get(name), operate, content.gateway, "operate", root, at);
            System.out.println("answer " + told.state + " " + told.code + " read back " + told.value + ", done " + told.done());
        }
        // Whatever else stands on the command line is an answer in hex, to be believed or not.
        for (String hex : Arrays.asList(arguments).subList(1, arguments.length)) {
            try {
                Answer told = answer(HexFormat.of().parseHex(hex), operate, content.gateway, "operate", root, at);
                System.out.println("believed " + told.state);
            } catch (Exception why) {
                System.out.println("not believed: " + why.getMessage());
            }
        }
    }

    // ---------------------------------------------------------------- parts

    static Signer signer(BigInteger privateKey) {
        X9ECParameters curve = GMNamedCurves.getByName("sm2p256v1");
        ECDomainParameters domain = new ECDomainParameters(curve.getCurve(), curve.getG(), curve.getN());
        return body -> {
            SM2Signer signer = new SM2Signer();
            signer.init(true, new ParametersWithID(new ECPrivateKeyParameters(privateKey, domain), ID));
            signer.update(body, 0, body.length);
            return signer.generateSignature();
        };
    }

    static X509Certificate certificate(byte[] der) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509", "BC").generateCertificate(new ByteArrayInputStream(der));
    }

    static String only(X500Name subject, org.bouncycastle.asn1.ASN1ObjectIdentifier what) {
        check(subject.getRDNs(what).length == 1, "names");
        return subject.getRDNs(what)[0].getFirst().getValue().toString();
    }

    static byte[] sm3(byte[] data) {
        SM3Digest digest = new SM3Digest();
        byte[] out = new byte[32];
        digest.update(data, 0, data.length);
        digest.doFinal(out, 0);
        return out;
    }

    static byte[] join(byte[] a, byte[] b) {
        return ByteBuffer.allocate(a.length + b.length).put(a).put(b).array();
    }

    static void check(boolean holds, String why) {
        if (!holds) throw new IllegalArgumentException(why);
    }

    static Map<String, byte[]> blocks(String page) {
        Map<String, byte[]> found = new HashMap<>();
        Matcher block = Pattern.compile(":name: ([a-z-]+)\n\n([0-9a-f\n]+)```").matcher(page);
        while (block.find()) found.put(block.group(1), HexFormat.of().parseHex(block.group(2).replace("\n", "")));
        return found;
    }

    // ---------------------------------------------------------------- msgpack, in its shortest form: a gateway takes no other

    static byte[] pack(Object value) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        write(new DataOutputStream(bytes), value);
        return bytes.toByteArray();
    }

    static void write(DataOutputStream out, Object value) throws IOException {
        if (value == null) out.write(0xc0);
        else if (value instanceof Boolean truth) out.write(truth ? 0xc3 : 0xc2);
        else if (value instanceof Double number) { out.write(0xcb); out.writeDouble(number); }
        else if (value instanceof Long number) writeInt(out, number);
        else if (value instanceof String text) {
            byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
            if (utf8.length < 32) out.write(0xa0 | utf8.length);
            else if (utf8.length < 256) { out.write(0xd9); out.write(utf8.length); }
            else { out.write(0xda); out.writeShort(utf8.length); }
            out.write(utf8);
        } else if (value instanceof byte[] data) {
            if (data.length < 256) { out.write(0xc4); out.write(data.length); }
            else { out.write(0xc5); out.writeShort(data.length); }
            out.write(data);
        } else {
            List<?> items = (List<?>) value;
            if (items.size() < 16) out.write(0x90 | items.size());
            else { out.write(0xdc); out.writeShort(items.size()); }
            for (Object item : items) write(out, item);
        }
    }

    static void writeInt(DataOutputStream out, long number) throws IOException {
        if (number >= 0) {
            if (number < 0x80) out.write((int) number);
            else if (number < 0x100) { out.write(0xcc); out.write((int) number); }
            else if (number < 0x10000) { out.write(0xcd); out.writeShort((int) number); }
            else if (number < 0x1_0000_0000L) { out.write(0xce); out.writeInt((int) number); }
            else { out.write(0xcf); out.writeLong(number); }
        } else if (number >= -32) out.write((int) number);
        else if (number >= Byte.MIN_VALUE) { out.write(0xd0); out.write((int) number); }
        else if (number >= Short.MIN_VALUE) { out.write(0xd1); out.writeShort((int) number); }
        else if (number >= Integer.MIN_VALUE) { out.write(0xd2); out.writeInt((int) number); }
        else { out.write(0xd3); out.writeLong(number); }
    }

    static Object unpack(byte[] data) {
        ByteBuffer in = ByteBuffer.wrap(data);
        Object value = read(in, 0);
        check(!in.hasRemaining(), "more behind the end");
        return value;
    }

    static Object read(ByteBuffer in, int depth) {
        check(depth < 8, "too deep");
        int tag = in.get() & 0xff;
        if (tag < 0x80) return (long) tag;
        if (tag >= 0x90 && tag < 0xa0) return array(in, tag & 15, depth);
        if (tag >= 0xa0 && tag < 0xc0) return text(in, tag & 31);
        if (tag >= 0xe0) return (long) (byte) tag;
        return switch (tag) {
            case 0xc0 -> null;
            case 0xc2 -> false;
            case 0xc3 -> true;
            case 0xc4 -> take(in, in.get() & 0xff);
            case 0xc5 -> take(in, in.getShort() & 0xffff);
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
            case 0xdc -> array(in, in.getShort() & 0xffff, depth);
            default -> throw new IllegalArgumentException("msgpack type " + tag);
        };
    }

    static byte[] take(ByteBuffer in, int size) {
        check(size <= in.remaining(), "cut off");
        byte[] out = new byte[size];
        in.get(out);
        return out;
    }

    static String text(ByteBuffer in, int size) {
        return new String(take(in, size), StandardCharsets.UTF_8);
    }

    static List<Object> array(ByteBuffer in, int size, int depth) {
        List<Object> items = new ArrayList<>();
        for (int i = 0; i < size; i++) items.add(read(in, depth + 1));
        return items;
    }
}
