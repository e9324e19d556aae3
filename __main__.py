"""`python -m miniend`, and so `torchrun -m miniend`."""

from .cli import main

if __name__ == "__main__":
    main()
