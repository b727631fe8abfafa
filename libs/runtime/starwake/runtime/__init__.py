"""What every service needs around its work: settings, logs, health, metrics, tracing, an orderly end."""
