"""Run the command line: python -m actors."""

from actors.cli.app import main

if __name__ == "__main__":
    main()
