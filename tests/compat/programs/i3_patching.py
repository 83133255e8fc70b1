"""I3: what is patched by name, each module alone, all, and twice."""

import socket
import threading

from gevent import monkey

NAMES = "socket ssl select selectors time threading thread queue os signal subprocess".split()
originals = socket.socket, threading.Lock
print([name for name in NAMES if monkey.is_module_patched(name)])
monkey.patch_time()
print(monkey.is_module_patched("time"), monkey.is_module_patched("socket"), socket.socket is originals[0])
monkey.patch_socket()
monkey.patch_socket()
print(monkey.is_module_patched("socket"), socket.socket is not originals[0])
print(monkey.get_original("socket", "socket") is originals[0], monkey.is_object_patched("socket", "socket"))
monkey.patch_all()
monkey.patch_all()
print([name for name in NAMES if name != "queue" and not monkey.is_module_patched(name)])
print(threading.Lock is originals[1], socket.socket is originals[0])
thread = threading.Thread(target=print, args=("in a patched thread",))
thread.start()
thread.join()
