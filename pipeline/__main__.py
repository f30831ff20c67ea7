"""`python -m pipeline` is `region-sync`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
