"""What runs inside the virtual machine. Its console is the way out: lines that begin with `=>`."""
