"""What travels up: payloads, sealed records, grants of their keys, and receipts for them.

The wire format is `docs/reference/uplink.md`. Everything here is pure: no clock, no randomness, no
I/O; secrets, random bytes and instants are arguments. Hostile bytes give `EnvelopeError`,
`SealBroken`, `SignatureInvalid` or `CertificateRefused`, nothing else.
"""
