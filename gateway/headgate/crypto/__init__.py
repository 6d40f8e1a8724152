"""SM2, SM3 and SM4 behind one seam, and the certificates that say whose key is whose.

`provider` is the seam: everything else in Headgate asks a `CryptoProvider` and imports no
cryptographic library. `x509`, `crl`, `requests` and `enveloped` read what comes from outside, `verify`
judges it by `policy` and `revocation`, `issue` makes it, and `authority` is a CA that does so for others.
"""
