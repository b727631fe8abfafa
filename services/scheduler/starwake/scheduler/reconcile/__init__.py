"""The comparison of all waiting rows with all alarms."""
