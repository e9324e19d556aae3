"""What long work on a machine needs: devices, progress, signals, claims, durable files, the identity of a run."""
