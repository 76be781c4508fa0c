//! A saga told step by step: what the orchestrator asks for, what the services answer, and that
//! nothing else happens. Every event is also delivered twice; the second must be known.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use amends::{
    Admitted, Definition, EventId, Json, NextRecord, Op, Record, Saga, SagaId, StepOutline, fold,
    machine::{
        Arrival, ChildEnd, Command, Decision, Event, Kind, OperatorAct, OperatorCommand,
        ReplyEvent, State, Status, Time, Wait, child_id, waits,
    },
    transcript::Transcript,
    turn::{
        Batch, Disposition, Due, Input, Instance, Item, Message, Observe, OpenAct, Outcome, Rows,
        Start,
    },
    wire::Reply,
};

/// How long an orchestrator has for a timer that it took.
const LEASE: Duration = Duration::from_secs(10);

/// A saga, and what it has asked for and nobody has looked at yet. Each event is decided by the turn that
/// the orchestrator runs.
pub(crate) struct Script {
    definition: Arc<Definition>,
    instance: Instance,
    records: Vec<Record>,
    now: Time,
    asked: VecDeque<Command>,
    /// Nested sagas that are to start, or to be undone, by their steps.
    nested: VecDeque<(String, Op)>,
    /// Events that have arrived.
    arrived: u64,
    input: Json,
}

/// The first decision of a batch, beside limits that had passed before.
#[derive(Default)]
struct First(Option<Decision>);

impl Observe for First {
    fn decided(&mut self, _: &Instance, event: &Event, _: Time, decision: &Decision) {
        if !matches!(event, Event::Overdue(_)) {
            self.0.get_or_insert_with(|| decision.clone());
        }
    }
}

/// What came of one event.
struct Decided {
    decision: Decision,
    publish: Vec<Message>,
    outcome: Outcome<First>,
}

fn start(definition: &Arc<Definition>, input: &Json) -> Start {
    let Admitted { key, locks } = definition.admit(input).unwrap();
    Start { definition: Arc::clone(definition), key, locks, input: input.clone(), trace: None }
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

impl Script {
    pub(crate) fn given<S: Saga>(input: &str) -> Self {
        let definition = Arc::new(Definition::of::<S>().unwrap());
        let input = json(input);
        let now = Time::from_timestamp(1_700_000_000, 0).unwrap();
        let id = SagaId::from_message("order", "AMENDS_EVENTS", 1, now);
        let mut batch = Batch::observed(now, First::default());
        let start = Input::Start(Box::new(start(&definition, &input)));
        let disposition = batch.decide(&Item { saga: id, input: start });
        let Disposition::Publish(publish) = disposition else {
            panic!("it does not start: {disposition:?}")
        };
        let outcome = batch.finish();
        let instance = outcome.instances[&id].clone();
        let (records, asked, nested) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let mut script =
            Self { definition, instance, records, now, asked, nested, arrived: 0, input };
        script.take(publish, outcome);
        script
    }

    const fn state(&self) -> &State {
        &self.instance.state
    }

    /// Decides an event as an orchestrator does that has the saga at hand.
    fn run(&self, event: &Event) -> Decided {
        let (id, now) = (self.state().id, self.now);
        let mut batch = Batch::observed(now, First::default());
        batch.put(id, self.instance.clone());
        let input = match event {
            Event::Reply(reply) => Input::Reply(reply.clone(), now),
            Event::StartedAgain => Input::Start(Box::new(start(&self.definition, &self.input))),
            _ => Input::Timer(Due { saga: id, leased_until: now + LEASE, now }),
        };
        let inbox = batch.inbox(id);
        match event.clone() {
            Event::Arrived(arrival) => inbox.arrivals.push(arrival),
            Event::Child(end) => inbox.ends.push((end, now)),
            Event::Granted => inbox.granted = true,
            act @ (Event::Act(_) | Event::Undo(_)) => {
                inbox.acts.push(OpenAct { id: 1, came: now, event: Ok(act), exact: false });
            }
            Event::Reply(_) | Event::StartedAgain | Event::TimerFired | Event::Overdue(_) => {}
        }
        let disposition = batch.decide(&Item { saga: id, input });
        let outcome = batch.finish();
        let decision = outcome.observer.0.clone().expect("the machine is asked");
        let publish = match disposition {
            Disposition::Publish(publish) => publish,
            Disposition::Bury(_) => Vec::new(),
            other => panic!("{event:?} is {other:?}"),
        };
        Decided { decision, publish, outcome }
    }

    /// Takes what followed from an event: what is written, and what is published.
    fn take(&mut self, publish: Vec<Message>, mut outcome: Outcome<First>) {
        let id = self.state().id;
        self.instance = outcome.instances.remove(&id).expect("it is kept at hand");
        let commands = publish.into_iter().filter_map(|message| match message {
            // Not those of nested sagas.
            Message::Command(command, _) => (command.id.saga == id).then_some(command),
            Message::Status(..) => None,
        });
        self.asked.extend(commands);
        self.nested(&outcome.rows);
        let mut changes = outcome.rows.sagas;
        changes.retain(|(saga, _)| *saga == id);
        self.records.extend(changes.into_iter().flat_map(|(_, change)| change.facts));
        assert_eq!(self.stored(), *self.state(), "the fold of the stored facts is the state");
    }

    /// Nested sagas that begin, or are to be undone.
    fn nested(&mut self, rows: &Rows) {
        let id = self.state().id;
        for (_, change) in &rows.sagas {
            let parent = change.start.as_ref().and_then(|new| new.parent.clone());
            let step = parent.filter(|(outer, _)| *outer == id).map(|(_, step)| step);
            self.nested.extend(step.map(|step| (step, Op::Action)));
        }
        for (child, _) in &rows.undo {
            let state = &self.instance.state;
            let is_child = |at: &usize| child_id(&self.definition, state, *at) == Some(*child);
            let at = (0..state.steps.len()).find(is_child).expect("a nested saga is a step");
            self.nested.push_back((state.name(self.definition.outline(), at), Op::Compensation));
        }
    }

    /// The state as a store would give it back.
    fn stored(&self) -> State {
        let records = self.records.iter().map(|record| {
            let detail = record.detail.as_ref();
            let next = record.next.clone().into_columns(record.at, detail);
            let next = NextRecord::from_columns(&next, record.at, detail).unwrap();
            Record { next, ..record.clone() }
        });
        let (outline, id) = (self.definition.outline(), self.state().id);
        fold(outline, id, self.input.clone(), records, |_| {}).unwrap()
    }

    fn position(&self, step: &str) -> usize {
        self.state().position(self.definition.outline(), step).expect("the saga has this step")
    }

    fn plan(&self, at: usize) -> &StepOutline {
        &self.definition.outline().steps[self.state().steps[at].plan]
    }

    /// The next command is the action of `step`.
    #[track_caller]
    pub(crate) fn asks(self, step: &str) -> Self {
        self.expect(step, Op::Action).0
    }

    /// The next command undoes `step`, whose action answered `output` (`null`: nobody knows).
    #[track_caller]
    pub(crate) fn asks_undo(self, step: &str, output: &str) -> Self {
        let (script, command) = self.expect(step, Op::Compensation);
        let body: serde_json::Value = serde_json::from_str(&command.body).unwrap();
        let output: serde_json::Value = serde_json::from_str(output).unwrap();
        assert_eq!(body["output"], output, "what the compensation of {step} is told");
        script
    }

    #[track_caller]
    fn expect(mut self, step: &str, op: Op) -> (Self, Command) {
        let Some(command) = self.asked.pop_front() else {
            panic!("expected the {op} of {step}, but nothing is asked for\n{self}");
        };
        assert_eq!((&*command.id.step, command.id.op), (step, op), "what is asked for\n{self}");
        (self, command)
    }

    /// The next command is the action of `step`, and carries `body`.
    #[track_caller]
    pub(crate) fn asks_with(self, step: &str, body: &str) -> Self {
        let (script, command) = self.expect(step, Op::Action);
        assert_eq!(command.body, body, "what {step} is given");
        script
    }

    /// Nothing else is asked for.
    #[track_caller]
    pub(crate) fn nothing_else(self) -> Self {
        assert!(self.asked.is_empty(), "{:?} is asked for\n{self}", self.asked);
        assert!(self.nested.is_empty(), "{:?} is asked for\n{self}", self.nested);
        self
    }

    #[track_caller]
    pub(crate) fn is(self, status: Status) -> Self {
        assert_eq!(self.state().status, status, "the status\n{self}");
        self.nothing_else()
    }

    /// The end, and what the saga answers.
    #[track_caller]
    pub(crate) fn completes_with(self, output: &str) -> Self {
        let told = self.records.last().and_then(|r| r.next.output.clone());
        assert_eq!(told.as_ref().map(Json::as_str), Some(output), "the output\n{self}");
        self.is(Status::Completed)
    }

    /// `step` answers its last attempt.
    #[track_caller]
    pub(crate) fn ok(self, step: &str, output: &str) -> Self {
        self.answers(step, Op::Action, Reply::Ok(json(output)))
    }

    #[track_caller]
    pub(crate) fn rejected(self, step: &str, code: &str, message: &str) -> Self {
        let (code, message) = (code.to_owned(), message.to_owned());
        self.answers(step, Op::Action, Reply::Rejected { code, message })
    }

    #[track_caller]
    pub(crate) fn breaks(self, step: &str, message: &str) -> Self {
        let message = message.to_owned();
        self.answers(step, Op::Action, Reply::Retry { message, after: None })
    }

    /// As [`Self::breaks`], and says when to try again.
    #[track_caller]
    pub(crate) fn breaks_for(self, step: &str, time: Duration) -> Self {
        let reply = Reply::Retry { message: String::new(), after: Some(time) };
        self.answers(step, Op::Action, reply)
    }

    #[track_caller]
    pub(crate) fn accepts(self, step: &str) -> Self {
        self.answers(step, Op::Action, Reply::Pending)
    }

    #[track_caller]
    pub(crate) fn undone(self, step: &str) -> Self {
        self.answers(step, Op::Compensation, Reply::Ok(Json::null()))
    }

    #[track_caller]
    pub(crate) fn undo_breaks(self, step: &str, message: &str) -> Self {
        let message = message.to_owned();
        self.answers(step, Op::Compensation, Reply::Retry { message, after: None })
    }

    #[track_caller]
    fn answers(self, step: &str, op: Op, reply: Reply) -> Self {
        let attempt = self.state().steps[self.position(step)].op(op).attempt;
        self.replies(step, op, attempt, reply)
    }

    /// `step` answers an attempt, perhaps an old one.
    #[track_caller]
    pub(crate) fn replies(mut self, step: &str, op: Op, attempt: u32, reply: Reply) -> Self {
        self.now += Duration::from_millis(12);
        let event = self.event(step, op, attempt, reply);
        self.moves(&event);
        self.known(&event);
        self
    }

    /// The event once more is known, and sends again what it has sent.
    #[track_caller]
    fn known(&self, event: &Event) {
        let Decided { decision: Decision::Known(again), publish, outcome } = self.run(event) else {
            panic!("{event:?} is new twice\n{self}");
        };
        assert!(outcome.rows.is_empty(), "{event:?} writes twice: {:?}", outcome.rows);
        let published = publish.iter().filter(|message| matches!(message, Message::Command(..)));
        assert_eq!(published.count(), again.len(), "what {event:?} publishes again\n{self}");
        let sent = self.records.last().unwrap().next.sends.iter();
        let sent = sent.map(|s| (self.position(&s.step), s.op, s.attempt));
        // Waits and nested sagas are not sent to anybody.
        let called = |at: usize| self.plan(at).task.is_call();
        let mut sent: Vec<_> = sent.filter(|(at, ..)| called(*at)).collect();
        // What is sent side by side has no order.
        sent.sort_by_key(|(at, ..)| *at);
        let mut again: Vec<_> = again.iter().map(|s| (s.step, s.op, s.attempt)).collect();
        again.sort_by_key(|(at, ..)| *at);
        // What a second fact of the turn has sent is left to its timer.
        if !again.is_empty() || self.records.last().unwrap().kind != Kind::Unmappable {
            assert_eq!(again, sent, "what {event:?} sends again\n{self}");
        }
    }

    fn event(&self, step: &str, op: Op, attempt: u32, reply: Reply) -> Event {
        let service = self.plan(self.position(step)).service.clone();
        Event::Reply(ReplyEvent { step: step.into(), op, attempt, service, reply })
    }

    /// `step` answers something that changes nothing.
    #[track_caller]
    pub(crate) fn ignores(self, step: &str, op: Op, attempt: u32, reply: Reply) -> Self {
        let event = self.event(step, op, attempt, reply);
        let decision = self.decide(&event);
        assert!(matches!(decision, Decision::Known(_)), "{event:?} is {decision:?}\n{self}");
        self
    }

    /// The saga has its locks.
    #[track_caller]
    pub(crate) fn granted(self) -> Self {
        self.happens(Event::Granted)
    }

    /// The nested saga of `step` starts.
    #[track_caller]
    pub(crate) fn starts(self, step: &str) -> Self {
        self.expect_nested(step, Op::Action)
    }

    /// The nested saga of `step` is undone.
    #[track_caller]
    pub(crate) fn undoes(self, step: &str) -> Self {
        self.expect_nested(step, Op::Compensation)
    }

    #[track_caller]
    fn expect_nested(mut self, step: &str, op: Op) -> Self {
        let next = self.nested.pop_front();
        assert_eq!(next, Some((step.to_owned(), op)), "which nested saga is asked for\n{self}");
        self
    }

    /// The nested saga of `step` has ended.
    #[track_caller]
    pub(crate) fn child_ends(self, step: &str, status: Status, output: Option<&str>) -> Self {
        let output = output.map(json);
        self.happens(Event::Child(ChildEnd { step: step.into(), status, output, error: None }))
    }

    /// `step` waits for an event with this key, and one comes.
    #[track_caller]
    pub(crate) fn arrives(mut self, step: &str, key: &str, body: &str) -> Self {
        let arrival = self.arrival(step, key, body);
        self.happens(arrival)
    }

    /// As [`Self::arrives`], after the time for which `step` waits: the limit is decided, and the event is
    /// of no use.
    #[track_caller]
    pub(crate) fn arrives_too_late(mut self, step: &str, key: &str, body: &str) -> Self {
        let arrival = self.arrival(step, key, body);
        let Decided { decision, publish, outcome } = self.run(&arrival);
        assert_eq!(decision, Decision::Known(Vec::new()), "{arrival:?}\n{self}");
        self.take(publish, outcome);
        self
    }

    #[track_caller]
    fn arrival(&mut self, step: &str, key: &str, body: &str) -> Event {
        let wait = Wait { step: step.to_owned(), key: key.to_owned() };
        let all = waits(&self.definition, self.state());
        assert!(all.contains(&wait), "it waits for {all:?}\n{self}");
        self.arrived += 1;
        let event = EventId::of_message("AMENDS_EVENTS", self.arrived, self.now);
        Event::Arrived(Arrival { step: step.into(), event, body: json(body) })
    }

    /// Something happens, and then once more to no effect.
    #[track_caller]
    fn happens(mut self, event: Event) -> Self {
        self.now += Duration::from_millis(12);
        self.moves(&event);
        assert_eq!(self.decide(&event), Decision::Known(Vec::new()), "{event:?} twice\n{self}");
        self
    }

    /// An operator who has just looked acts; another who saw the same is too late.
    #[track_caller]
    pub(crate) fn operator(mut self, act: OperatorCommand, reason: &str) -> Self {
        self.now += Duration::from_millis(200);
        let event = Self::act(act, reason, self.state().seq);
        self.moves(&event);
        assert!(matches!(self.decide(&event), Decision::Refused(_)), "{event:?} twice\n{self}");
        self
    }

    /// An operator who has just looked may not do this, and reads why.
    #[track_caller]
    pub(crate) fn refuses(self, act: OperatorCommand, why: &str) -> Self {
        let seen = self.state().seq;
        self.refuses_who_saw(seen, act, why)
    }

    /// As [`Self::refuses`], of an operator who looked when the saga had `seen` facts.
    #[track_caller]
    pub(crate) fn refuses_who_saw(self, seen: u32, act: OperatorCommand, why: &str) -> Self {
        let event = Self::act(act, "a try", seen);
        assert_eq!(self.decide(&event), Decision::Refused(why.to_owned()), "{event:?}\n{self}");
        self
    }

    fn act(act: OperatorCommand, reason: &str, seen: u32) -> Event {
        Event::Act(OperatorAct { command: act, by: "alice".into(), reason: reason.into(), seen })
    }

    /// How many facts there are.
    pub(crate) const fn seen(&self) -> u32 {
        self.state().seq
    }

    /// The clock has nothing to wake it for, and waking it does nothing.
    #[track_caller]
    pub(crate) fn sleeps(self) -> Self {
        assert_eq!(self.state().due(), None, "when it wakes up\n{self}");
        let decision = self.decide(&Event::TimerFired);
        assert_eq!(decision, Decision::Known(Vec::new()), "waking up\n{self}");
        self
    }

    pub(crate) fn decide(&self, event: &Event) -> Decision {
        let Decided { decision, outcome, .. } = self.run(event);
        if let (Decision::Refused(why), [act]) = (&decision, &*outcome.rows.acts) {
            assert_eq!(act.refusal.as_ref(), Some(why), "what becomes of the act");
        }
        decision
    }

    /// The event moves the saga.
    #[track_caller]
    fn moves(&mut self, event: &Event) {
        let Decided { decision, publish, outcome } = self.run(event);
        assert!(matches!(decision, Decision::Turn(_)), "{event:?} is {decision:?}\n{self}");
        self.take(publish, outcome);
    }

    /// Nobody answers until the clock wakes the saga.
    #[track_caller]
    pub(crate) fn waits(mut self) -> Self {
        let Some(due) = self.state().due() else { panic!("it waits for nothing\n{self}") };
        self.now = self.now.max(due);
        self.moves(&Event::TimerFired);
        self
    }

    pub(crate) fn after(mut self, time: Duration) -> Self {
        self.now += time;
        self
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }
}

impl std::fmt::Display for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let outline = self.definition.outline();
        let key = self.definition.admit(&self.input).unwrap().key;
        Transcript {
            id: self.state().id,
            definition: &outline.name,
            version: outline.version,
            key: key.as_deref(),
            status: self.state().status,
            input: Some(&self.input),
            facts: &self.records,
            outline: Some(outline),
        }
        .fmt(f)
    }
}
