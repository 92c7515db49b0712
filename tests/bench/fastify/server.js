// The case list and the board as many would write them in fastify + pg: a cluster of two workers, a pool, a prepared
// statement, a transaction a request. The SQL is the product's own, from the file that STATEMENTS names.
'use strict'

const cluster = require('node:cluster')
const { createHash } = require('node:crypto')
const { readFileSync } = require('node:fs')
const fastify = require('fastify')
const { Pool } = require('pg')

const { PORT, PGHOST, POOL, WORKERS, STATEMENTS } = process.env

function routes (app, pool, sql) {
  async function guarded (request, name, values) {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1]
    if (!token) throw Object.assign(new Error('session_required'), { statusCode: 401 })
    const hash = createHash('sha256').update(token).digest('hex')
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      await client.query({ name: 'authenticate', text: sql.authenticate, values: [hash, '*'] })
      const { rows } = await client.query({ name, text: sql[name], values })
      await client.query('COMMIT')
      return rows
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }

  app.get('/v1/cases', async (request) => {
    const { modality, difficulty, truth_kind: truthKind, synthetic, unread, after, limit } = request.query
    const wanted = Number(limit ?? 20)
    const rows = await guarded(request, 'case_list', [modality, difficulty, truthKind, synthetic, unread ?? 'false', after,
      wanted + 1])
    const shown = rows.slice(0, wanted)
    return {
      items: shown.map((row) => row.json_build_object),
      next: rows.length > wanted ? shown.at(-1).case_id : null
    }
  })

  app.get('/v1/board', async (request) => {
    const [row] = await guarded(request, 'board_tenant', [request.query.modality, request.query.limit ?? 20])
    return row.json_build_object
  })
}

async function serve () {
  const app = fastify()
  routes(app, new Pool({ host: PGHOST, database: 'overread', user: 'overread_app', max: Number(POOL) }),
    JSON.parse(readFileSync(STATEMENTS, 'utf8')))
  await app.listen({ port: Number(PORT), host: '127.0.0.1' })
}

if (cluster.isPrimary) {
  let ready = 0
  cluster.on('listening', () => {
    if (++ready === Number(WORKERS)) console.log('ready')
  })
  cluster.on('exit', (worker, code) => { if (code) process.exit(1) })
  for (let i = 0; i < Number(WORKERS); i++) cluster.fork()
  process.on('SIGTERM', () => process.exit(0))
} else {
  serve()
}
