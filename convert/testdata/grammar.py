"""Answer, one JSON line for each line of stdin, what supervisor's own code makes of
a text: [kind, text] becomes [result] or null for an error."""
import json, os, shlex, sys, tempfile
from supervisor import datatypes, options


def ini(text):
    parser = options.UnhosedConfigParser()
    with tempfile.NamedTemporaryFile('w', newline='') as f:
        f.write(text)
        f.flush()
        with open(f.name) as again:
            parser.read_file(again)
    return [[s, [[k, v] for k, v in parser._sections[s].items()]] for s in parser.sections()]


names = {'program_name': 'web', 'process_num': 7, 'ENV_A': 'x%y', 'here': '/here', 'a(b)': 'nested'}
kinds = {
    'ini': ini,
    'split': shlex.split,
    'pairs': lambda s: [[k, v] for k, v in datatypes.dict_of_key_value_pairs(s).items()],
    'expand': lambda s: options.expand(s, names, 'x'),
    'integer': datatypes.integer,
    'boolean': datatypes.boolean,
    'size': datatypes.byte_size,
    'codes': datatypes.list_of_exitcodes,
    'strings': datatypes.list_of_strings,
    'name': datatypes.process_or_group_name,
}
for line in sys.stdin:
    kind, text = json.loads(line)
    try:
        answer = [kinds[kind](text)]
    except Exception:
        answer = None
    print(json.dumps(answer))
