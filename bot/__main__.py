"""`python -m bot` is `bobbin`."""

from bot.cli import main

main()
