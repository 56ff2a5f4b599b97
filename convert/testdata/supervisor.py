"""Answer, one JSON line for each line of stdin, what supervisor's own ServerOptions
reads from a file: [path, environment] becomes {"processes": …}, in the order of the
file, or {"error": …}. What depends on the machine (users, folders that exist) is not
looked at."""
import json, os, shlex, sys
from supervisor import options

for name in ('existing_dirpath', 'existing_directory', 'name_to_uid', 'colon_separated_user_group'):
    setattr(options, name, lambda v: v)
options.gid_for_uid = lambda uid: 0
options.logfile_name.__globals__['existing_dirpath'] = os.path.expanduser


class Recorder(options.ServerOptions):
    def __init__(self):
        self.records = []  # (section, group), process, in the order in which they are made
        options.ServerOptions.__init__(self)

    def import_spec(self, spec):
        return spec

    def usage(self, message):
        raise ValueError(message)

    def _processes_from_section(self, parser, section, group_name, klass=None):
        self.order = parser.sections()

        def make(opts, **params):
            process = klass(opts, **params)
            self.records.append(((section, group_name), process))
            return process

        return options.ServerOptions._processes_from_section(self, parser, section, group_name, make)


def words(command):
    try:
        return shlex.split(command)
    except ValueError:
        return []


def autorestart(value):
    return 'false' if value is False else {'RestartWhenExitUnexpected': 'unexpected', 'RestartUnconditionally': 'true'}[value.__name__]


def read(path):
    opts = Recorder()
    opts.realize(args=['-c', path], doc='', progname='supervisord')
    records = sorted(opts.records, key=lambda r: opts.order.index(r[0][0]))  # stable: groups and numbers stay in order
    daemon_user = '' if opts.user in (None, 'root', '0') else opts.user
    return [{
        'section': section, 'group': group, 'name': c.name, 'argv': words(c.command), 'environment': c.environment,
        'directory': c.directory or '', 'user': c.uid or daemon_user, 'umask': c.umask, 'autostart': c.autostart,
        'autorestart': autorestart(c.autorestart), 'startsecs': c.startsecs, 'startretries': c.startretries,
        'exitcodes': list(c.exitcodes), 'stopsignal': int(c.stopsignal), 'stopwaitsecs': c.stopwaitsecs,
        'stopasgroup': c.stopasgroup, 'killasgroup': c.killasgroup,
    } for (section, group), c in records]


for line in sys.stdin:
    path, environment = json.loads(line)
    os.environ.clear()
    os.environ.update(environment)
    try:
        answer = {'processes': read(path)}
    except ValueError as e:
        answer = {'error': str(e)}
    print(json.dumps(answer), flush=True)
