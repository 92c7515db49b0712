-- Mail's one statement; what queues mails are functions of the migrations.

-- name: ticket_issue
-- lane: write
-- $1 ticket, $2 SHA-256 of the link's token, hex. False: the ticket is void.
SELECT ticket_issue($1::uuid, $2);
