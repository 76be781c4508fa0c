//! A saga told step by step: what the orchestrator asks for, what the services answer, and that
//! nothing else happens. Every event is also delivered twice; the second must be known.

use std::{collections::VecDeque, time::Duration};

use amends::{
    Definition, Json, NextRecord, Op, Record, Saga, SagaId, StepOutline,
    machine::{
        Arrival, ChildEnd, ChildOrder, Command, Decision, Event, Kind, OperatorAct,
        OperatorCommand, ReplyEvent, State, Status, Time, Turn, Wait, child, command, decide,
        start, waits,
    },
    transcript::Transcript,
    wire::Reply,
};

/// A saga, and what it has asked for and nobody has looked at yet.
pub(crate) struct Script {
    definition: Definition,
    state: State,
    records: Vec<Record>,
    now: Time,
    asked: VecDeque<Command>,
    /// Nested sagas that are to start, or to be undone, by their steps.
    nested: VecDeque<(String, Op)>,
    /// Events that have arrived.
    arrived: i64,
    input: Json,
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

impl Script {
    pub(crate) fn given<S: Saga>(input: &str) -> Self {
        let definition = Definition::of::<S>().unwrap();
        let input = json(input);
        definition.admit(&input).unwrap();
        let now = Time::from_timestamp(1_700_000_000, 0).unwrap();
        let id = SagaId::from_message("order", "AMENDS_EVENTS", 1, now);
        let turn = start(&definition, id, input.clone(), now);
        let state = State::new(definition.outline(), id, input.clone());
        let (records, asked, nested) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let mut script = Self { definition, state, records, now, asked, nested, arrived: 0, input };
        script.take(turn);
        script
    }

    fn take(&mut self, turn: Turn) {
        for fact in &turn.facts {
            self.records.push(Record::of(self.definition.outline(), &turn.next, fact));
            for send in &fact.next.sends {
                self.asked.extend(command(&self.definition, &turn.next, send));
                let order = child(&self.definition, &turn.next, send);
                self.nested.extend(order.map(|order| {
                    let op = match order {
                        ChildOrder::Start { .. } => Op::Action,
                        ChildOrder::Undo { .. } => Op::Compensation,
                    };
                    (turn.next.name(self.definition.outline(), send.step), op)
                }));
            }
        }
        self.state = turn.next;
        assert_eq!(self.stored(), self.state, "the fold of the stored facts is the state");
    }

    /// The state as a store would give it back.
    fn stored(&self) -> State {
        let outline = self.definition.outline();
        let mut state = State::new(outline, self.state.id, self.input.clone());
        for record in &self.records {
            let detail = record.detail.as_ref();
            let next = record.next.clone().into_text(record.at, detail);
            let next = NextRecord::from_text(next.as_deref(), record.at, detail).unwrap();
            let record = Record { next, ..record.clone() };
            let fact = record.into_fact(outline, &state).unwrap();
            state.apply(outline, &fact);
        }
        state
    }

    fn position(&self, step: &str) -> usize {
        self.state.position(self.definition.outline(), step).expect("the saga has this step")
    }

    fn plan(&self, at: usize) -> &StepOutline {
        &self.definition.outline().steps[self.state.steps[at].plan]
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
        assert_eq!(self.state.status, status, "the status\n{self}");
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
        let attempt = self.state.steps[self.position(step)].op(op).attempt;
        self.replies(step, op, attempt, reply)
    }

    /// `step` answers an attempt, perhaps an old one.
    #[track_caller]
    pub(crate) fn replies(mut self, step: &str, op: Op, attempt: u32, reply: Reply) -> Self {
        self.now += Duration::from_millis(12);
        let event = self.event(step, op, attempt, reply);
        match decide(&self.definition, &self.state, &event, self.now) {
            Decision::Turn(turn) => self.take(*turn),
            other => panic!("{event:?} is {other:?}\n{self}"),
        }
        self.known(&event);
        self
    }

    /// The event once more is known, and sends again what it has sent.
    #[track_caller]
    fn known(&self, event: &Event) {
        let Decision::Known(again) = self.decide(event) else {
            panic!("{event:?} is new twice\n{self}");
        };
        let sent = self.records.last().unwrap().next.sends.iter();
        let sent = sent.map(|s| (self.position(&s.step), s.op, s.attempt));
        // Waits and nested sagas are not sent to anybody.
        let called = |at: usize| self.plan(at).task.is_call();
        let sent: Vec<_> = sent.filter(|(at, ..)| called(*at)).collect();
        let again: Vec<_> = again.iter().map(|s| (s.step, s.op, s.attempt)).collect();
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
        let wait = Wait { step: step.to_owned(), key: key.to_owned() };
        let all = waits(&self.definition, &self.state);
        assert!(all.contains(&wait), "it waits for {all:?}\n{self}");
        self.arrived += 1;
        let arrival = Arrival { step: step.into(), event: self.arrived, body: json(body) };
        self.happens(Event::Arrived(arrival))
    }

    /// Something happens, and then once more to no effect.
    #[track_caller]
    fn happens(mut self, event: Event) -> Self {
        self.now += Duration::from_millis(12);
        match self.decide(&event) {
            Decision::Turn(turn) => self.take(*turn),
            other => panic!("{event:?} is {other:?}\n{self}"),
        }
        assert_eq!(self.decide(&event), Decision::Known(Vec::new()), "{event:?} twice\n{self}");
        self
    }

    /// An operator who has just looked acts; another who saw the same is too late.
    #[track_caller]
    pub(crate) fn operator(mut self, act: OperatorCommand, reason: &str) -> Self {
        self.now += Duration::from_millis(200);
        let event = Self::act(act, reason, self.state.seq);
        match self.decide(&event) {
            Decision::Turn(turn) => self.take(*turn),
            other => panic!("{event:?} is {other:?}\n{self}"),
        }
        assert!(matches!(self.decide(&event), Decision::Refused(_)), "{event:?} twice\n{self}");
        self
    }

    /// An operator who has just looked may not do this, and reads why.
    #[track_caller]
    pub(crate) fn refuses(self, act: OperatorCommand, why: &str) -> Self {
        let seen = self.state.seq;
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
        self.state.seq
    }

    /// The clock has nothing to wake it for, and waking it does nothing.
    #[track_caller]
    pub(crate) fn sleeps(self) -> Self {
        assert_eq!(self.state.due(), None, "when it wakes up\n{self}");
        let decision = self.decide(&Event::Wake);
        assert_eq!(decision, Decision::Known(Vec::new()), "waking up\n{self}");
        self
    }

    pub(crate) fn decide(&self, event: &Event) -> Decision {
        decide(&self.definition, &self.state, event, self.now)
    }

    /// Nobody answers until the clock wakes the saga.
    #[track_caller]
    pub(crate) fn waits(mut self) -> Self {
        let Some(due) = self.state.due() else { panic!("it waits for nothing\n{self}") };
        self.now = self.now.max(due);
        match self.decide(&Event::Wake) {
            Decision::Turn(turn) => self.take(*turn),
            other => panic!("waking up is {other:?}\n{self}"),
        }
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
            id: self.state.id,
            definition: &outline.name,
            version: outline.version,
            key: key.as_deref(),
            status: self.state.status,
            input: &self.input,
            facts: &self.records,
            outline: Some(outline),
        }
        .fmt(f)
    }
}
