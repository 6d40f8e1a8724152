"""A platform's ask that a gateway seal with a new key: a receipt that settles nothing and retires keys.

When a record key may be known to somebody, or the encryption key behind its grant is about to be destroyed. A
gateway follows at once when it is online; what comes later under an old key is believed all the same, for it
was sealed before. Source: uplink.md, section 9.
"""

from __future__ import annotations

from headgate.env import Env
from headgate.envelope.receipt import MAX_RETIRED, Receipt, encode_body, join_receipt
from headgate.errors import HeadgateError
from headgate.mqtt import Link
from headgate_receiver.keys import PlatformKeys
from headgate_receiver.store import Sink


async def ask_new_key(env: Env, sink: Sink, keys: PlatformKeys, link: Link, gateway: str) -> int:
    """Ask one gateway; how many keys it is told to use no more (its newest ones: one of them is in use).

    Raises:
        HeadgateError: no key of this gateway is known.
        KeysUnavailable: the receipt cannot be signed now.
        UplinkError: the broker does not take it.
    """
    newest = sink.newest_keys(gateway, MAX_RETIRED)
    if not newest:
        raise HeadgateError(f"no key of {gateway!r} is known", code="HG-7030", gateway=gateway)
    epoch = newest[0][0]
    receipt = Receipt(
        gateway, epoch, env.clock.wall_us(), 0, retire=tuple(key_id for _, key_id in newest)
    )
    body = encode_body(receipt)
    message = join_receipt(body, *await keys.sign(body))
    await link.publish(f"headgate/v1/{gateway}/down/receipt", message)
    return len(newest)
