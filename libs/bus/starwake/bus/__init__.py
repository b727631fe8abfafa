"""The bus: the only part of the house that knows NATS.

`Bus` (connection) publishes, requests and subscribes; on it stand `JetStreamPublisher`, the streams and their
provisioning, the players' feed, `Notifier`, `Alarms` and `AlarmConsumer`, `Service`, and the revocations.
"""
