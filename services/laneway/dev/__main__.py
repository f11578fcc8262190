"""`python -m laneway.dev` is `laneway dev`."""

from laneway.dev.main import main

if __name__ == "__main__":
    main()
