//! Every failure of every step of a saga, and as many schedules of messages as one likes, in no time.
//!
//! Participants are modelled as they have to be: each knows a step by its id, does it once, and refuses what comes
//! after its undo. A definition is right when, however messages are lost, doubled, delayed and refused, the saga comes
//! to an end in which either all of it is done or none.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::Aggregate;
use crate::saga::{
    Heard, Plan, Saga, SagaCommand, SagaDefinition, SagaEnd, SagaEvent, SagaLog, SagaRefusal,
    StepKind,
};
use crate::time::Timestamp;

/// Turns of the loop after which a saga is said not to end.
const TURNS: usize = 10_000;

/// What becomes of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Answered,
    /// It is refused. Of an undo, and of a step after the pivot, that is a failure.
    Refused,
    /// It is done, and the answer is lost: also a coordinator that crashes before it has noted the answer.
    AnswerLost,
    /// It is lost, and comes later, when nobody waits for it any more.
    Delayed,
    /// Nobody was asked, since the participant is known to give no answer.
    NotAsked,
}

/// A call to a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// To do this step.
    Ask(&'static str),
    /// To undo it.
    Undo(&'static str),
}

/// What happens between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Between {
    /// Nothing.
    Nothing,
    /// Something that was delayed comes in, if anything was: the one at this place, of as many as there are.
    Late(usize),
    /// Time passes.
    Passes(Duration),
    /// Somebody cancels; if it is too late for that, they are told so.
    Cancelled,
}

/// What participants know a step by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Its id.
    OfIds,
    /// Nothing: a step that is asked again is done again. No saga is right with such.
    #[cfg(test)]
    None,
}

/// What a schedule came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran<S: Saga> {
    /// How the saga ended.
    pub end: SagaEnd,
    /// Its log.
    pub log: Vec<SagaEvent<S::Order, S::Answer>>,
    /// How many calls there were.
    pub calls: usize,
}

/// One saga and its participants, in one schedule.
struct World<'w, S: Saga> {
    log: Vec<SagaEvent<S::Order, S::Answer>>,
    participants: BTreeMap<&'static str, Participant>,
    memory: Memory,
    answer: &'w dyn Fn(&str) -> S::Answer,
    delayed: Vec<Call>,
    now: Timestamp,
    calls: usize,
}

#[derive(Debug, Default)]
struct Participant {
    effects: i32,
    was_asked: bool,
    is_undone: bool,
}

/// Runs a saga, each of whose calls has the fate that `fate` says, until it ends. After each call happens what
/// `between` says.
///
/// # Panics
///
/// When it does not end, or ends with something done and something not.
pub fn run_saga<S: Saga>(
    order: &S::Order,
    answer: &dyn Fn(&str) -> S::Answer,
    fate: impl FnMut(Call) -> Fate,
    between: impl FnMut() -> Between,
) -> Ran<S> {
    run_saga_with(Memory::OfIds, order, answer, fate, between)
}

/// As [`run_saga`], with participants that know a step by this.
pub(crate) fn run_saga_with<S: Saga>(
    memory: Memory,
    order: &S::Order,
    answer: &dyn Fn(&str) -> S::Answer,
    mut fate: impl FnMut(Call) -> Fate,
    mut between: impl FnMut() -> Between,
) -> Ran<S> {
    let mut world = World::<S> {
        log: Vec::new(),
        participants: BTreeMap::new(),
        memory,
        answer,
        delayed: Vec::new(),
        now: Timestamp::from_micros(1_000_000),
        calls: 0,
    };
    let (order, now) = (order.clone(), world.now);
    world.note(SagaCommand::Begin { order, now });
    for _ in 0..TURNS {
        // Folded anew each time: as after a crash.
        let saga = world.saga();
        let call = match saga.plan(world.now) {
            Plan::Ended => return world.ended(&saga),
            Plan::Foreign => panic!("the saga goes by a definition that there is not"),
            Plan::Advance => {
                let now = world.now;
                world.note(SagaCommand::Advance { now });
                continue;
            }
            Plan::Wait(until) => {
                assert!(until > world.now, "it waits for what is over");
                world.now = until;
                continue;
            }
            Plan::Ask(step) => Call::Ask(step),
            Plan::Undo { step, .. } => Call::Undo(step),
        };
        world.call(call, fate(call));
        world.pass(Duration::from_millis(1));
        match between() {
            Between::Nothing => {}
            Between::Passes(time) => world.pass(time),
            Between::Cancelled => world.cancel(),
            Between::Late(place) => world.come_late(place),
        }
    }
    panic!("the saga does not end: {:#?}", world.log);
}

/// Every single failure: each call of a saga that goes through, and then each call of each that turned back, meets each
/// fate once and twice.
///
/// # Panics
///
/// As [`run_saga`].
pub fn every_failure<S: Saga>(order: &S::Order, answer: &dyn Fn(&str) -> S::Answer) -> usize {
    const FATES: [Fate; 4] = [
        Fate::Refused,
        Fate::AnswerLost,
        Fate::Delayed,
        Fate::NotAsked,
    ];
    let mut schedules = 0;
    let longest = 2 * newest::<S>().steps().len() + 2;
    for first in 0..longest {
        for second in first + 1..=longest {
            for (one, other) in FATES
                .iter()
                .flat_map(|one| FATES.map(|other| (*one, other)))
            {
                let mut number = 0;
                let fate = |_| {
                    let fate = match number {
                        n if n == first => one,
                        n if n == second => other,
                        _ => Fate::Answered,
                    };
                    number += 1;
                    fate
                };
                run_saga::<S>(order, answer, fate, || Between::Nothing);
                schedules += 1;
            }
        }
    }
    schedules
}

/// One schedule of chance: each call has any fate, in shares that differ from seed to seed, until they heal. The same
/// seed is the same schedule.
///
/// # Panics
///
/// As [`run_saga`]; the seed is to be named by whoever calls.
pub fn one_schedule<S: Saga>(
    order: &S::Order,
    answer: &dyn Fn(&str) -> S::Answer,
    seed: u64,
) -> Ran<S> {
    let dice = std::cell::RefCell::new(Dice(seed));
    let shares: [u64; 4] = std::array::from_fn(|_| dice.borrow_mut().roll(30));
    let heals_after = dice.borrow_mut().roll(60);
    let mut calls = 0;
    let fate = |_| {
        calls += 1;
        if calls > heals_after {
            return Fate::Answered;
        }
        let mut roll = dice.borrow_mut().roll(100);
        for (share, fate) in shares.iter().zip([
            Fate::Refused,
            Fate::AnswerLost,
            Fate::Delayed,
            Fate::NotAsked,
        ]) {
            if roll < *share {
                return fate;
            }
            roll -= share;
        }
        Fate::Answered
    };
    // Most sagas are not cancelled, and those that are, at any time.
    let mut until_cancelled = dice.borrow_mut().roll(40);
    let between = || {
        let mut dice = dice.borrow_mut();
        if until_cancelled == 0 {
            until_cancelled = u64::MAX;
            return Between::Cancelled;
        }
        until_cancelled -= 1;
        match dice.roll(8) {
            0 | 1 => Between::Late(usize::try_from(dice.roll(8)).unwrap_or(0)),
            2 => Between::Passes(Duration::from_secs(dice.roll(30))),
            _ => Between::Nothing,
        }
    };
    run_saga::<S>(order, answer, fate, between)
}

impl<S: Saga> World<'_, S> {
    fn saga(&self) -> SagaLog<S> {
        let log = self.log.iter();
        let saga = log.fold(None, SagaLog::<S>::evolve);
        saga.expect("it has begun")
    }

    fn pass(&mut self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).expect("a short time");
        self.now = Timestamp::from_micros(self.now.micros() + micros);
    }

    /// What was delayed reaches its participant, and the answer whoever may wait for another one.
    fn come_late(&mut self, place: usize) {
        if self.delayed.is_empty() {
            return;
        }
        let late = self.delayed.remove(place % self.delayed.len());
        let heard = self.reach(late);
        self.hear(late, heard);
    }

    fn cancel(&mut self) {
        let saga = self.saga();
        let cancel = SagaCommand::Cancel {
            actor: "somebody".to_owned(),
            reason: "a mistake".to_owned(),
        };
        match SagaLog::<S>::decide(Some(&saga), cancel) {
            Ok(events) => self.log.extend(events),
            Err(refusal) => assert!(
                matches!(refusal, SagaRefusal::PastPivot | SagaRefusal::Ended),
                "{refusal}"
            ),
        }
    }

    fn note(&mut self, command: SagaCommand<S::Order, S::Answer>) {
        let log = self.log.iter();
        let saga = log.fold(None, SagaLog::<S>::evolve);
        let events = SagaLog::<S>::decide(saga.as_ref(), command).expect("it is not refused");
        self.log.extend(events);
    }

    fn call(&mut self, call: Call, fate: Fate) {
        self.calls += 1;
        let unknown = |failure: &str| Heard::Unknown {
            failure: failure.to_owned(),
        };
        let heard = match fate {
            Fate::Answered => self.reach(call),
            Fate::Refused => self.refuse(call),
            Fate::AnswerLost => {
                self.reach(call);
                unknown("the answer was lost")
            }
            Fate::Delayed => {
                self.delayed.push(call);
                unknown("there was no answer in time")
            }
            Fate::NotAsked => Heard::NotAsked {
                failure: "the circuit breaker is open".to_owned(),
                after: Duration::from_secs(1),
            },
        };
        self.hear(call, heard);
    }

    fn hear(&mut self, call: Call, heard: Heard<S::Answer>) {
        let (Call::Ask(step) | Call::Undo(step)) = call;
        let (step, now) = (step.to_owned(), self.now);
        // Nobody else hears for it, so that it is told of what it asked last.
        let refusals = self.saga().refusals();
        self.note(SagaCommand::Hear {
            step,
            heard,
            refusals,
            now,
        });
    }

    /// What a participant does and says.
    fn reach(&mut self, call: Call) -> Heard<S::Answer> {
        match call {
            Call::Ask(step) => {
                let answer = (self.answer)(step);
                let participant = self.participants.entry(step).or_default();
                if participant.is_undone {
                    let code = "undone".to_owned();
                    return Heard::Refused { code };
                }
                if !participant.was_asked || self.memory != Memory::OfIds {
                    participant.was_asked = true;
                    participant.effects += 1;
                }
                Heard::Done(answer)
            }
            Call::Undo(step) => {
                let participant = self.participants.entry(step).or_default();
                if !participant.is_undone {
                    participant.is_undone = true;
                    participant.effects -= i32::from(participant.was_asked);
                }
                Heard::Undone
            }
        }
    }

    /// A participant that has done a step does not refuse it any more; it says that it is done.
    fn refuse(&mut self, call: Call) -> Heard<S::Answer> {
        let (Call::Ask(step) | Call::Undo(step)) = call;
        let participant = self.participants.entry(step).or_default();
        if matches!(call, Call::Ask(_)) && participant.was_asked {
            return self.reach(call);
        }
        if let Call::Ask(step) = call
            && newest::<S>().step(step).map(|step| step.kind()) != Some(StepKind::Retriable)
        {
            // A refusal is for ever: what was delayed is refused as well.
            participant.is_undone = true;
        }
        Heard::Refused {
            code: "not_today".to_owned(),
        }
    }

    fn ended(mut self, saga: &SagaLog<S>) -> Ran<S> {
        // What is still under way comes in, and changes nothing any more.
        while !self.delayed.is_empty() {
            self.come_late(0);
        }
        let end = saga.end.expect("it has ended");
        assert_eq!(
            self.saga().end,
            Some(end),
            "what came late has changed the end"
        );
        let definition: &SagaDefinition = newest::<S>();
        for step in definition.steps() {
            let participant = self.participants.get(step.name());
            let effects = participant.map_or(0, |participant| participant.effects);
            let expected = match (step.kind(), end) {
                (StepKind::Question, _) => continue,
                (_, SagaEnd::Completed) => 1,
                (_, SagaEnd::Undone) => 0,
            };
            assert_eq!(
                effects,
                expected,
                "{} is done {effects} times in a saga that is {end:?}: {:#?}",
                step.name(),
                self.log
            );
        }
        Ran {
            end,
            log: self.log,
            calls: self.calls,
        }
    }
}

fn newest<S: Saga>() -> &'static SagaDefinition {
    S::definition(S::NEWEST).expect("there is a definition of the newest version")
}

/// Numbers that look like chance: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
