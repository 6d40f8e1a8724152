"""A street of BLE tags and sensors: an `org.bluez` of our own on a private D-Bus, and what advertises there.

bus      a private dbus-daemon
bluez    org.bluez as far as a scanner and a client look
units    what stands in the street, and how it says what the world tells it
street   all of it, faults by command
"""
