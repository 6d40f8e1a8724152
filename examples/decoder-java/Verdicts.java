// Says what OpenRecord thinks of each case of tests/vectors/envelope: one word a line.
//
//   java -cp ... Verdicts grants|records|signed_records|receipts CASES
//
// CASES is what tests/peers/test_refusals.py writes: `name TAB value` lines that all cases share, an empty line, then
// one case a line: message in hex, zeros behind it, instant or -, revoked certificates or -.

import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.bouncycastle.crypto.InvalidCipherTextException;
import org.bouncycastle.jce.provider.BouncyCastleProvider;

public final class Verdicts {
    static byte[] hex(String text) {
        return HexFormat.of().parseHex(text);
    }

    static void judge(String kind, Map<String, String> shared, String[] fields) throws Exception {
        byte[] message = fields[0].equals("-") ? new byte[0] : hex(fields[0]);
        message = Arrays.copyOf(message, message.length + Integer.parseInt(fields[1]));
        if (kind.equals("grants")) {
            List<X509Certificate> roots = new ArrayList<>();
            for (String each : shared.get("anchors").split(",")) roots.add(OpenRecord.certificate(hex(each)));
            Date at = Date.from(Instant.parse(fields[2].equals("-") ? shared.get("at") : fields[2]));
            Set<String> revoked = new HashSet<>(Arrays.asList(fields[3].split(",")));
            OpenRecord.openGrant(message, roots, hex(shared.get("platform_certificate")),
                new BigInteger(shared.get("platform_private_key"), 16), at, revoked);
        } else if (kind.equals("receipts")) {
            List<byte[]> pinned = new ArrayList<>();
            for (String each : shared.get("pinned").split(",")) pinned.add(hex(each));
            OpenRecord.checkReceipt(message, pinned, shared.get("gateway"));
        } else {
            byte[] signer = shared.containsKey("signer") ? hex(shared.get("signer")) : null;
            OpenRecord.openRecord(message, new OpenRecord.Key(shared.get("gateway"), hex(shared.get("epoch")),
                hex(shared.get("key_id")), hex(shared.get("salt")), hex(shared.get("record_key")),
                OpenRecord.sm3(hex(shared.get("core"))), signer));
        }
    }

    public static void main(String[] arguments) throws Exception {
        java.security.Security.addProvider(new BouncyCastleProvider());
        Map<String, String> shared = new HashMap<>();
        boolean cases = false;
        for (String line : Files.readAllLines(Path.of(arguments[1]))) {
            String[] fields = line.split("\t");
            if (line.isEmpty()) {
                cases = true;
            } else if (!cases) {
                shared.put(fields[0], fields[1]);
            } else {
                String verdict = "accepted";
                try {
                    judge(arguments[0], shared, fields);
                } catch (OpenRecord.Refused refused) {
                    verdict = refused.verdict;
                } catch (InvalidCipherTextException error) {
                    verdict = "seal";
                } catch (RuntimeException error) {
                    verdict = "crashed:" + error.getClass().getSimpleName();
                }
                System.out.println(verdict);
            }
        }
    }
}
