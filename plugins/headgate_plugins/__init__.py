"""What else plugs in: pipeline stages and uplinks. Each imports headgate.sdk, and none another."""
