"""How fast the road is: points held per second, CPU, delay, memory, outage. `make bench`, bench/README.md."""
