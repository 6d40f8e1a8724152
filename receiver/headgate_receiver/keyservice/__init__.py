"""The platform's keys in another process: what an HSM's adapter looks like, and one to try it with.

wire      frames and messages between the two (pure)
client    `RemoteKeys`, a `PlatformKeys` over a unix socket: no private key in the receiver
server    a stand-in: it holds PEM keys and answers, slowly or not at all if told so

Why and how to put SDF (GM/T 0018) behind it: docs/operate/platform-keys.md.
"""
