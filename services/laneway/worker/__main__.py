"""`python -m laneway.worker` is `laneway worker`."""

from laneway.worker.supervisor import main

if __name__ == "__main__":
    main()
