"""python -m gatewright doctor"""

import sys


def main(arguments: list[str]) -> int:
    if arguments != ["doctor"]:
        print("usage: python -m gatewright doctor     what runs on this machine and why", file=sys.stderr)
        return 2
    try:
        from gatewright._doctor import print_report
    except ImportError as error:
        print(error, file=sys.stderr)
        return 1
    print_report()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
