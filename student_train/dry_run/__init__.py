"""What a run would take, measured on a throwaway copy."""
