"""What runs: plugins, pollers, the writer, delivery, the local API. `headgate.app` puts them together."""
