"""Fire alarm transmitters (GB/T 26875.3-2011) that dial a centre, written from the standard."""
