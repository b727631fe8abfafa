"""What tests of all kinds share: real servers, services as processes, waiting for a condition."""
