"""Advancing a round: a world and an act give the next world, or a refusal that explains itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from . import _acts as acts
from . import _moves_claim as claim
from . import _moves_participant as participant
from . import _moves_round as whole
from ._refusal import Refusal, Refused
from ._world import World

_MOVES: Final[Mapping[type[acts.Act], Callable[[World, Any], World]]] = {
    acts.AddKey: whole.add_key,
    acts.RevokeKey: whole.revoke_key,
    acts.FreezeProtocol: whole.plain,
    acts.StartGathering: whole.plain,
    acts.StartAnalysis: whole.start_analysis,
    acts.OpenDisclosure: whole.open_disclosure,
    acts.StartDrafting: whole.start_drafting,
    acts.SendCourtesy: whole.send_courtesy,
    acts.OpenReoffer: whole.plain,
    acts.StartFinalCheck: whole.start_final_check,
    acts.SendBack: whole.send_back,
    acts.Publish: whole.publish,
    acts.Supersede: whole.plain,
    acts.Abort: whole.plain,
    acts.ExportRestricted: whole.export_restricted,
    acts.Waive: whole.waive,
    acts.Invite: participant.invite,
    acts.Agree: participant.agree,
    acts.GiveAccess: participant.give_access,
    acts.FinishEvaluation: participant.finish_evaluation,
    acts.SendPrivateReport: participant.send_private_report,
    acts.OpenPack: participant.open_pack,
    acts.SignApproval: participant.sign_approval,
    acts.Dispute: participant.dispute,
    acts.Withdraw: participant.withdraw,
    acts.Exit: participant.leave,
    acts.PlaceHold: participant.place_hold,
    acts.ReleaseHold: participant.release_hold,
    acts.Purge: participant.purge,
    acts.DraftClaim: claim.draft,
    acts.SupportClaim: claim.support,
    acts.ReviewClaim: claim.review,
    acts.SetImportance: claim.set_importance,
    acts.LockImportance: claim.lock_importance,
    acts.ReviseClaim: claim.revise,
    acts.SplitClaim: claim.split,
    acts.MergeClaims: claim.merge,
    acts.DropClaim: claim.drop,
    acts.OfferClaim: claim.offer,
    acts.Decide: claim.decide,
    acts.SignMeaning: claim.sign_meaning,
    acts.CorrectClaim: claim.correct,
    acts.RetractClaim: claim.retract,
    acts.Conclude: claim.conclude,
    acts.DropConclusion: claim.drop_conclusion,
}


def advance(world: World, act: acts.Act) -> World | Refusal:
    """The world after an act, or why it changes nothing.

    Signatures are checked before: ``act.by`` names the keys whose signatures over the act hold.
    Nothing here reads a clock or a disk; the same world and act give the same answer.
    """
    try:
        return _MOVES[type(act)](world, act)
    except Refused as refused:
        return refused.refusal


class NotReplayable(ValueError):
    """A recorded act is refused: the record is not one of this program's, or was changed."""


def replay(world: World, recorded: Iterable[acts.Act]) -> World:
    """The world after recorded acts.

    Raises:
        NotReplayable: at the first act that is refused, with its position from 0.
    """
    for position, act in enumerate(recorded):
        after = advance(world, act)
        if isinstance(after, Refusal):
            raise NotReplayable(f"act {position} ({act.kind}) is refused: {after.line}")
        world = after
    return world
