"""Rigs: our code on a real kernel in a virtual machine, for what no test process can have.

A Bluetooth adapter behind real BlueZ, a USB serial port whose plug is pulled, a disk that loses its
power: QEMU boots Debian's own kernel with this machine's files read-only below it, so that nothing is
installed twice, and runs one rig. `python -m rigs ble | usb | powercut`; README.md says more.

kernel     Debian's kernel and a start image, made once
machine    QEMU, its console, and its power
verdict    what a rig promises to look at, and what was seen
ble, usb, powercut   the rigs
guest/     what runs inside
"""
