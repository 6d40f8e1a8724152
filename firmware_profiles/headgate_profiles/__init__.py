"""What we know of devices: <vendor>/<model>/profile.toml, with a README and recorded cases."""
