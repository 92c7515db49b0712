-- name: member_performance
-- lane: slow
-- $1 person, $2 modality
SELECT member_performance($1::uuid, $2);

-- name: member_reads
-- lane: read
-- $1 person, $2 modality, $3 cursor, $4 limit + 1
SELECT place, item FROM member_reads($1::uuid, $2, $3::uuid, $4::int);

-- name: own_reads
-- lane: read
SELECT place, item FROM own_reads($1::uuid, $2::int);

-- name: own_performance
-- lane: read
SELECT own_performance();
