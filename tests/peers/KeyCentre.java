// A key centre and a relying party by BouncyCastle: written from GB/T 35276 section 7.4 and RFC 5280.
//
//   KeyCentre check CA.crt LEAF.crt CA.crl    verify both signatures; print every revoked serial and reason
//   KeyCentre open SIGNING.p8 ENVELOPED       print the private key inside, hexadecimal
//   KeyCentre seal LEAF.crt OUT ENTROPY       make a pair, seal it to the certificate; print the private key

import java.io.FileInputStream;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.SecureRandom;
import java.security.Security;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.cert.X509CRLEntry;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import org.bouncycastle.asn1.ASN1BitString;
import org.bouncycastle.asn1.ASN1EncodableVector;
import org.bouncycastle.asn1.ASN1Integer;
import org.bouncycastle.asn1.ASN1ObjectIdentifier;
import org.bouncycastle.asn1.ASN1OctetString;
import org.bouncycastle.asn1.ASN1Sequence;
import org.bouncycastle.asn1.DERBitString;
import org.bouncycastle.asn1.DERNull;
import org.bouncycastle.asn1.DEROctetString;
import org.bouncycastle.asn1.DERSequence;
import org.bouncycastle.asn1.gm.GMNamedCurves;
import org.bouncycastle.asn1.x9.X9ECParameters;
import org.bouncycastle.crypto.engines.SM2Engine;
import org.bouncycastle.crypto.engines.SM4Engine;
import org.bouncycastle.crypto.params.ECDomainParameters;
import org.bouncycastle.crypto.params.ECPrivateKeyParameters;
import org.bouncycastle.crypto.params.ECPublicKeyParameters;
import org.bouncycastle.crypto.params.KeyParameter;
import org.bouncycastle.crypto.params.ParametersWithRandom;
import org.bouncycastle.jce.interfaces.ECPrivateKey;
import org.bouncycastle.jce.interfaces.ECPublicKey;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.math.ec.ECPoint;
import org.bouncycastle.util.BigIntegers;
import org.bouncycastle.util.encoders.Hex;

public class KeyCentre {
    static final X9ECParameters CURVE = GMNamedCurves.getByName("sm2p256v1");
    static final ECDomainParameters DOMAIN =
        new ECDomainParameters(CURVE.getCurve(), CURVE.getG(), CURVE.getN(), CURVE.getH());
    static final ASN1ObjectIdentifier SM4_ECB = new ASN1ObjectIdentifier("1.2.156.10197.1.104.1");

    public static void main(String[] given) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        switch (given[0]) {
            case "check" -> check(given[1], given[2], given[3]);
            case "open" -> System.out.println(open(given[1], Files.readAllBytes(Path.of(given[2]))));
            case "seal" -> System.out.println(seal(given[1], Path.of(given[2]), given[3]));
            default -> throw new IllegalArgumentException(given[0]);
        }
    }

    static X509Certificate certificate(String file) throws Exception {
        try (FileInputStream in = new FileInputStream(file)) {
            return (X509Certificate) CertificateFactory.getInstance("X.509", "BC").generateCertificate(in);
        }
    }

    static void check(String ca, String leaf, String list) throws Exception {
        X509Certificate issuer = certificate(ca);
        issuer.verify(issuer.getPublicKey(), "BC");
        certificate(leaf).verify(issuer.getPublicKey(), "BC");
        try (FileInputStream in = new FileInputStream(list)) {
            X509CRL crl = (X509CRL) CertificateFactory.getInstance("X.509", "BC").generateCRL(in);
            crl.verify(issuer.getPublicKey(), "BC");
            if (!crl.getIssuerX500Principal().equals(issuer.getSubjectX500Principal())) {
                throw new IllegalStateException("another CA's list");
            }
            for (X509CRLEntry entry : crl.getRevokedCertificates()) {
                System.out.println(
                    entry.getSerialNumber().toString(16) + " " + entry.getRevocationReason());
            }
            System.out.println("revoked " + crl.isRevoked(certificate(leaf)));
        }
    }

    static String open(String keyFile, byte[] enveloped) throws Exception {
        byte[] encoded = Files.readAllBytes(Path.of(keyFile));
        ECPrivateKey key = (ECPrivateKey)
            KeyFactory.getInstance("EC", "BC").generatePrivate(new PKCS8EncodedKeySpec(encoded));
        ASN1Sequence parts = ASN1Sequence.getInstance(enveloped);
        if (!SM4_ECB.equals(ASN1Sequence.getInstance(parts.getObjectAt(0)).getObjectAt(0))) {
            throw new IllegalStateException("another cipher");
        }
        ASN1Sequence cipher = ASN1Sequence.getInstance(parts.getObjectAt(1));
        SM2Engine engine = new SM2Engine(SM2Engine.Mode.C1C3C2);
        engine.init(false, new ECPrivateKeyParameters(key.getD(), DOMAIN));
        byte[] raw = join(
            new byte[] {4},
            BigIntegers.asUnsignedByteArray(32, ASN1Integer.getInstance(cipher.getObjectAt(0)).getValue()),
            BigIntegers.asUnsignedByteArray(32, ASN1Integer.getInstance(cipher.getObjectAt(1)).getValue()),
            ASN1OctetString.getInstance(cipher.getObjectAt(2)).getOctets(),
            ASN1OctetString.getInstance(cipher.getObjectAt(3)).getOctets());
        byte[] sm4 = engine.processBlock(raw, 0, raw.length);
        byte[] scalar = ecb(false, sm4, ASN1BitString.getInstance(parts.getObjectAt(3)).getOctets());
        ECPoint point = CURVE.getG().multiply(new BigInteger(1, scalar)).normalize();
        byte[] said = ASN1BitString.getInstance(parts.getObjectAt(2)).getOctets();
        if (!Arrays.equals(point.getEncoded(false), said)) {
            throw new IllegalStateException("private and public key do not belong together");
        }
        return Hex.toHexString(scalar);
    }

    static String seal(String holder, Path out, String entropy) throws Exception {
        // The test's entropy, so that it can ask for the same again; a key centre draws its own.
        SecureRandom random = SecureRandom.getInstance("SHA1PRNG");
        random.setSeed(Hex.decode(entropy));
        BigInteger secret = BigIntegers.createRandomInRange(
            BigInteger.ONE, CURVE.getN().subtract(BigInteger.TWO), random);
        byte[] scalar = BigIntegers.asUnsignedByteArray(32, secret);
        byte[] sm4 = new byte[16];
        random.nextBytes(sm4);
        ECPublicKey key = (ECPublicKey) certificate(holder).getPublicKey();
        SM2Engine engine = new SM2Engine(SM2Engine.Mode.C1C3C2);
        engine.init(true,
            new ParametersWithRandom(new ECPublicKeyParameters(key.getQ(), DOMAIN), random));
        byte[] raw = engine.processBlock(sm4, 0, sm4.length);
        DERSequence cipher = sequence(
            new ASN1Integer(new BigInteger(1, Arrays.copyOfRange(raw, 1, 33))),
            new ASN1Integer(new BigInteger(1, Arrays.copyOfRange(raw, 33, 65))),
            new DEROctetString(Arrays.copyOfRange(raw, 65, 97)),
            new DEROctetString(Arrays.copyOfRange(raw, 97, raw.length)));
        byte[] point = CURVE.getG().multiply(secret).normalize().getEncoded(false);
        Files.write(out, sequence(
            sequence(SM4_ECB, DERNull.INSTANCE), cipher,
            new DERBitString(point), new DERBitString(ecb(true, sm4, scalar))).getEncoded("DER"));
        return Hex.toHexString(scalar);
    }

    static byte[] ecb(boolean encrypt, byte[] key, byte[] data) {
        SM4Engine engine = new SM4Engine();
        engine.init(encrypt, new KeyParameter(key));
        byte[] out = new byte[data.length];
        for (int at = 0; at < data.length; at += 16) {
            engine.processBlock(data, at, out, at);
        }
        return out;
    }

    static DERSequence sequence(org.bouncycastle.asn1.ASN1Encodable... parts) {
        ASN1EncodableVector vector = new ASN1EncodableVector();
        for (var part : parts) {
            vector.add(part);
        }
        return new DERSequence(vector);
    }

    static byte[] join(byte[]... parts) {
        int size = Arrays.stream(parts).mapToInt(part -> part.length).sum();
        byte[] all = new byte[size];
        int at = 0;
        for (byte[] part : parts) {
            System.arraycopy(part, 0, all, at, part.length);
            at += part.length;
        }
        return all;
    }
}
