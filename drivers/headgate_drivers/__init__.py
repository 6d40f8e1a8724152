"""Drivers: one folder per protocol spoken to devices. Each imports headgate.sdk, and none another."""
