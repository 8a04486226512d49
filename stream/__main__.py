"""`python -m stream` is `segstream`."""

from stream.cli import main

if __name__ == "__main__":
    main()
