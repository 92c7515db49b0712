#!/usr/bin/python3
"""Turns SQL and other files into C at build time.

    embed_sql.py statements X.sql X_sql.h X_sql.c
    embed_sql.py migrations DIR OUT.c DEPFILE
    embed_sql.py bytes NAME FILE OUT.c OUT.h

statements: a room's X.sql holds statements, each behind a header of comment lines:

    -- name: case_list
    -- lane: read                 (read, write or slow; read when left out)
    -- Published cases of a modality, newest first. $1 modality, $2 cursor or NULL
    SELECT ... WHERE modality = $1 AND ... ;

  The first line that is not a comment ends the header; comments after it stay out of the SQL as well. The highest
  $n is the number of parameters. Names are unique across the whole program: they are the names of the prepared
  statements. X_sql.h declares `sql_case_list` (const struct db_statement *const), X_sql.c also `X_statements[]`,
  ended by a NULL name, for struct db_options. A statement may not begin, end or configure a transaction: every
  scope's transaction is the pipeline's.

  In a room's meson.build:

    library_sql = custom_target('library_sql', input: 'library.sql', output: ['library_sql.h', 'library_sql.c'],
      command: [python, embed_sql, 'statements', '@INPUT@', '@OUTPUT@'])
    lib_library = static_library('library', ['library.c', library_sql], dependencies: [...])

  and in its .c: #include "library/library_sql.h"

migrations: every NNNN_name.sql of DIR becomes an entry of `migrations[]` (db/migrate.h). The depfile names the
  directory, so that a new migration is built in without a word to meson.

bytes: NAME.h-style embedding of one file: `extern const char NAME[]; extern const size_t NAME_size;` (without the
  closing NUL, which is there).
"""

import pathlib
import re
import sys

LANES = {'read': 'DB_LANE_READ', 'write': 'DB_LANE_WRITE', 'slow': 'DB_LANE_SLOW'}
TRANSACTION_WORDS = {'begin', 'start', 'commit', 'end', 'rollback', 'abort', 'savepoint', 'release', 'set', 'reset',
                     'discard', 'listen', 'unlisten', 'lock', 'copy', 'prepare', 'deallocate'}
IDENTIFIER = re.compile(r'[a-z][a-z0-9_]{0,59}')


def die(message):
    sys.exit(f'embed_sql.py: {message}')


def c_string(data, indent='    '):
    """C string literals of at most ~100 characters, one a line; a line break in the data ends a literal."""
    lines, line = [], ''
    for byte in data:
        char = chr(byte)
        if char == '\n':
            piece = '\\n'
        elif char == '\t':
            piece = '\\t'
        elif char in '"\\?':  # \? because of trigraphs
            piece = '\\' + char
        elif 32 <= byte < 127:
            piece = char
        else:
            piece = f'\\{byte:03o}'  # three octal digits cannot run into what follows
        line += piece
        if char == '\n' or len(line) >= 96:
            lines.append(line)
            line = ''
    if line or not lines:
        lines.append(line)
    return '\n'.join(f'{indent}"{text}"' for text in lines)


def without_comments(sql):
    """Drops comments, keeping what stands in quotes; `--` inside a literal is not a comment."""
    token = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(\$[A-Za-z_]*\$).*?\1|--[^\n]*|/\*.*?\*/""", re.S)
    stripped = token.sub(lambda m: '' if m.group().startswith(('--', '/*')) else m.group(), sql)
    lines = [line.rstrip() for line in stripped.split('\n')]
    return '\n'.join(line for line in lines if line)


def without_quotes(sql):
    return re.sub(r"""'(?:[^']|'')*'|"(?:[^"]|"")*\"""", "''", sql)


def parse_statements(path):
    statements, current = [], None
    for number, line in enumerate(path.read_text('utf-8').split('\n'), 1):
        field = re.fullmatch(r'--\s*(name|lane):\s*(\S*)\s*', line)
        if field and field[1] == 'name':
            if not IDENTIFIER.fullmatch(field[2]):
                die(f'{path.name}:{number}: a name is [a-z][a-z0-9_]*, at most 60 long, not "{field[2]}"')
            current = {'name': field[2], 'lane': 'read', 'body': [], 'line': number}
            statements.append(current)
        elif field and current and not current['body']:
            if field[2] not in LANES:
                die(f'{path.name}:{number}: no lane "{field[2]}": read, write or slow')
            current['lane'] = field[2]
        elif current and (current['body'] or (line.strip() and not line.startswith('--'))):
            current['body'].append(line)
        elif line.strip() and not line.startswith('--'):
            die(f'{path.name}:{number}: SQL before the first "-- name:" line')
    seen = {}
    for statement in statements:
        check_statement(path, statement, seen)
    return statements


def check_statement(path, statement, seen):
    where = f'{path.name}:{statement["line"]}: {statement["name"]}'
    if statement['name'] in seen:
        die(f'{where}: defined twice, first in line {seen[statement["name"]]}')
    seen[statement['name']] = statement['line']
    sql = without_comments('\n'.join(statement['body'])).strip()
    if not sql.endswith(';'):
        die(f'{where}: a statement ends with ";"')
    sql = sql[:-1].rstrip()
    bare = without_quotes(sql)
    if ';' in re.sub(r'(\$[A-Za-z_]*\$).*?\1', '', bare, flags=re.S):
        die(f'{where}: only one statement a name')
    first = re.match(r'[a-z]*', bare.lower())[0]
    if not first and not bare.startswith('('):
        die(f'{where}: no SQL')
    if first in TRANSACTION_WORDS:
        die(f'{where}: {first.upper()} has no place in a statement')
    used = {int(n) for n in re.findall(r'\$(\d+)', bare)}
    statement['params'] = max(used, default=0)
    if used != set(range(1, statement['params'] + 1)):
        die(f'{where}: parameters have gaps: {sorted(used)}')
    statement['sql'] = sql


def write(path, text):
    pathlib.Path(path).write_text(text, 'utf-8')


def emit_statements(source, header_path, code_path):
    source = pathlib.Path(source)
    room = source.stem
    statements = parse_statements(source)
    guard = f'OVERREAD_{room.upper()}_SQL_H'
    declarations = '\n'.join(f'extern const struct db_statement *const sql_{s["name"]};' for s in statements)
    write(header_path, f'/* Made from {source.name} by embed_sql.py. */\n#ifndef {guard}\n#define {guard}\n\n'
                       f'#include "db/db.h"\n\nextern const struct db_statement {room}_statements[];\n\n'
                       f'{declarations}\n\n#endif\n')
    rows = ''.join(f'    {{"{s["name"]}",\n{c_string(s["sql"].encode(), " " * 5)},\n     {s["params"]}, '
                   f'{LANES[s["lane"]]}}},\n' for s in statements)
    pointers = ''.join(f'const struct db_statement *const sql_{s["name"]} = &{room}_statements[{i}];\n'
                       for i, s in enumerate(statements))
    write(code_path, f'/* Made from {source.name} by embed_sql.py. */\n#include "{pathlib.Path(header_path).name}"\n\n'
                     f'const struct db_statement {room}_statements[] = {{\n{rows}'
                     f'    {{NULL, NULL, 0, DB_LANE_READ}},\n}};\n\n{pointers}')


def emit_migrations(directory, code_path, depfile):
    directory = pathlib.Path(directory)
    files = sorted(directory.glob('*.sql'))
    rows, last = '', 0
    for file in files:
        match = re.fullmatch(r'(\d{4})_[a-z0-9_]+\.sql', file.name)
        if not match:
            die(f'{file.name}: a migration is called NNNN_name.sql')
        if int(match[1]) != last + 1:
            die(f'{file.name}: the migration after {last:04d} is {last + 1:04d}')
        last += 1
        rows += f'    {{{last}, "{file.name}",\n{c_string(file.read_bytes(), " " * 5)}}},\n'
    write(code_path, '/* Made from migrations/ by embed_sql.py. */\n#include "db/migrate.h"\n\n'
                     f'const struct migration migrations[] = {{\n{rows}    {{0, NULL, NULL}},\n}};\n')
    inputs = ' '.join(str(p).replace(' ', '\\ ') for p in [directory, *files])
    write(depfile, f'{pathlib.Path(code_path)}: {inputs}\n')


def emit_bytes(name, file, code_path, header_path):
    if not re.fullmatch(r'[A-Za-z_][A-Za-z0-9_]*', name):
        die(f'"{name}" is not a C name')
    data = pathlib.Path(file).read_bytes()
    guard = f'OVERREAD_{name.upper()}_BYTES_H'
    write(header_path, f'/* Made by embed_sql.py. */\n#ifndef {guard}\n#define {guard}\n\n#include <stddef.h>\n\n'
                       f'extern const char {name}[];\nextern const size_t {name}_size;\n\n#endif\n')
    write(code_path, f'/* Made by embed_sql.py. */\n#include "{pathlib.Path(header_path).name}"\n\n'
                     f'const char {name}[] =\n{c_string(data)};\nconst size_t {name}_size = {len(data)};\n')


def main(arguments):
    modes = {'statements': (emit_statements, 3), 'migrations': (emit_migrations, 3), 'bytes': (emit_bytes, 4)}
    if not arguments or arguments[0] not in modes or len(arguments) != modes[arguments[0]][1] + 1:
        die('usage:' + __doc__.split('\n\n')[1])
    modes[arguments[0]][0](*arguments[1:])


if __name__ == '__main__':
    main(sys.argv[1:])
