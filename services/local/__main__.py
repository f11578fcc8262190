"""`python -m services.local` is `queue-local`."""

from services.local import main

if __name__ == "__main__":
    main()
