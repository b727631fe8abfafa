"""`probe.launch`: a probe to a star, and what it has to tell on arrival."""

import msgspec

from starwake.game import ErrorCode, FollowUp, Name, Outcome, Player, Refusal, order


class Launch(msgspec.Struct, frozen=True):
    """From which site, to which star."""

    site: Name
    star: Name


@order("probe.launch", kind="probe")
def launch(args: Launch, player: Player) -> Outcome:
    """Any star but our own."""
    if args.star.lower() == "sol":
        raise Refusal(ErrorCode.FORBIDDEN, "we live there")
    return player.start("probe", args.site, [FollowUp("probe.arrived", {"star": args.star, "site": args.site})])
