"""Tasks, mailboxes and cancellation: the shell that carries out what the core decides.

Its primitives are ``Runtime`` (the facade a host holds), ``Ref`` (all that others may hold of a session), ``Mailbox``
(its two doors), ``Actor`` (one incarnation), ``Supervisor`` (which alone starts them) and ``Committer`` (which alone
writes). It must not know SQL, files or formats. Every module belongs to one of these rooms:

- held by the host: facade, introspection, queue, receipt, subscription, answering, monitors, sent
- the way in: router, directory, registry, ref, mailbox, control, inner, refusals, migration, brancher, resending
- one session: actor, acceptance, management, editing, group, hydration, publication, volatile, timers, reminding
- one turn: agent, attempt, turn, turn_port, tool, question, threaded, drift
- the way out: committer, broadcast, accounting, dead_letters, recorder
- supervision: supervisor, breaker, zombies, crash_reports, closing, draining, resting, family, kin
- services: life, phases, services, service_group, passivation, appointments, expiry, deadlines, due, alarms, watchdog
- looking: observation, tracing, loop_metrics, frames
- the world outside trio: clock, workers
"""
