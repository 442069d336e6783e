#!/bin/sh
# Where the kernel command line has settings of nodestrap's, the root waits for the network that ip= describes.
case $(getcmdline) in
*nodestrap.*) echo rd.neednet=1 >/etc/cmdline.d/nodestrap.conf ;;
esac
