"""SM2, SM3 and SM4 behind one seam, and the certificates that say whose key is whose.

`provider` is the seam: everything else in Headgate asks a `CryptoProvider` and imports no
cryptographic library. `x509`, `verify` and `issue` read, judge and make SM2 certificates.
"""
