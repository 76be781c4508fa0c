-- Which login works for which service. It is what keeps services apart that share a database: see the
-- heads of the barrier and the outbox.

-- A login that has worked before it was registered has left effects, events and keys that are no
-- service's. What it did has to be known to it from now on: so all effects of that kind are copied, as
-- nothing tells which are its own, and the keys of the events that it may emit; those events that wait
-- become its own. The locks wait for transactions that have begun without the registration, and let none begin meanwhile.
create or replace function amends_barrier.register(login text, service text, subjects text[] default null)
    returns text[]
    language plpgsql volatile
    set search_path = pg_catalog, pg_temp
as $$
declare
    known text;
    allowed text[];
begin
    if (length(service) between 1 and 64 and service collate "C" ~ '^[a-z0-9_-]+$') is not true then
        raise exception 'not the name of a service: %', coalesce(quote_literal(left(service, 100)), 'null')
            using errcode = 'invalid_parameter_value',
                  hint = 'It has 1 to 64 small letters, digits, _ and -.';
    end if;
    if not exists (select from pg_roles r where r.rolname = register.login) then
        raise exception 'there is no login %', coalesce(quote_literal(left(login, 100)), 'null')
            using errcode = 'undefined_object', hint = 'Create it first.';
    end if;
    if cardinality(subjects) > 1000 then
        raise exception '% subjects are too many for one login', cardinality(subjects)
            using errcode = 'program_limit_exceeded', hint = 'At most 1000 are allowed.';
    end if;
    perform amends_barrier.check_event(s.subject, null, '{}') from unnest(subjects) as s (subject);

    lock table amends_barrier.login, amends_barrier.effect, amends_barrier.event, amends_barrier.event_key
        in share row exclusive mode;
    select l.service into known from amends_barrier.login l where l.login = register.login;
    if known <> service then
        raise exception 'the login % works for the service %', quote_literal(login), known
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'A login works for one service, whose effects it knows: create another for the other service.';
    end if;
    insert into amends_barrier.login (login, service, subjects)
    values (register.login, register.service, coalesce(register.subjects, '{}'))
    on conflict on constraint login_pkey do update set subjects = coalesce(register.subjects, login.subjects)
    returning login.subjects into allowed;

    if known is null then
        insert into amends_barrier.effect (saga_id, entered_at, compensation, step, service, reply)
        select e.saga_id, e.entered_at, e.compensation, e.step, register.service, e.reply
        from amends_barrier.effect e where e.service = ''
        on conflict do nothing;
    end if;
    insert into amends_barrier.event_key (subject, key, service, event, emitted_at, digest)
    select k.subject, k.key, register.service, k.event, k.emitted_at, k.digest
    from amends_barrier.event_key k where k.service = '' and k.subject = any (allowed)
    on conflict do nothing;
    update amends_barrier.event e set service = register.service
    where e.service = '' and e.subject = any (allowed);
    return allowed;
end
$$;

comment on function amends_barrier.register(text, text, text[]) is
    'Registers a login for a service, and the subjects on which it may emit events (null: those that it has); gives the subjects. For the schema''s owner.';

revoke all on function amends_barrier.register(text, text, text[]) from public;
