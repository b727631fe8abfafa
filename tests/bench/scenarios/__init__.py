"""What is compared, and against which goals."""
