"""Headgate: the gate between a city's sensors and the city's IoT platform."""

__version__ = "0.1.0"
