"""Which characters form one with a neighbour, to the `tokenizers` library.

Written by scripts/make_grapheme_classes.py from what the library does; Unicode editions differ,
and a count must not. Do not edit.
"""

from __future__ import annotations

from typing import Final

# JOINS the character before unless that STANDS_ALONE; PREPENDS itself to the one behind
# unless that stands alone.
OTHER, JOINS, PREPENDS, STANDS_ALONE = range(4)

# A class holds from its code point to the next one of the list. 16 a line, as
# "code point in base 36, class".
_RUNS: Final = """
03 w0 x3 y0 3j3 4g0 4t3 4u0 lc1 og0 w31 wa0 13l1 14u0 14v1 14w0
14x1 14z0 1501 1520 1531 1540 16o2 16u0 1741 17f0 17g3 17h0 18r1 19c0 19s1 19t0
1cm1 1ct2 1cu0 1cv1 1d10 1d31 1d50 1d61 1da0 1e72 1e80 1e91 1ea0 1f41 1fv0 1ie1
1ip0 1kb1 1kk0 1kt1 1ku0 1li1 1lm0 1ln1 1lw0 1lx1 1m00 1m11 1m60 1nd1 1ng0 1ow2
1oy0 1p31 1pc0 1qi1 1r62 1r71 1s40 1tm1 1tp0 1tq1 1u80 1u91 1ug0 1uq1 1us0 1vl1
1vo0 1x81 1x90 1xa1 1xh0 1xj1 1xl0 1xn1 1xq0 1xz1 1y00 1ya1 1yc0 1z21 1z30 1z51
1z80 20s1 20t0 20u1 20z0 2131 2150 2171 21a0 21d1 21e0 2281 22a0 22d1 22e0 22p1
22s0 24c1 24d0 24e1 24m0 24n1 24q0 24r1 24u0 25e1 25g0 2621 2680 2691 26c0 27w1
27x0 27y1 2850 2871 2890 28b1 28e0 28l1 28o0 28y1 2900 29u1 29v0 2bi1 2bn0 2bq1
2bt0 2bu1 2by0 2c71 2c80 2dc1 2dh0 2f01 2f10 2f21 2f90 2fa1 2fd0 2fe1 2fi0 2fp1
2fr0 2g21 2g40 2gx1 2h00 2ik1 2il0 2im1 2it0 2iu1 2ix0 2iy1 2j20 2j91 2jb0 2jm1
2jo0 2k31 2k40 2kg1 2kk0 2m31 2m50 2m61 2md0 2me1 2mh0 2mi1 2mm2 2mn0 2mv1 2mw0
2n61 2n80 2o11 2o40 2q21 2q30 2q71 2qd0 2qe1 2qf0 2qg1 2qo0 2r61 2r80 2sx1 2sy0
2sz1 2t70 2tj1 2tr0 2wh1 2wi0 2wj1 2wt0 2x41 2xb0 2zc1 2ze0 3051 3060 3071 3080
3091 30a0 30e1 30g0 31t1 32d0 32e1 32g0 32l1 32w0 32x1 33x0 3461 3470 3711 37c0
37d1 37j0 3861 38a0 38e1 38h0 38x1 3910 39e1 39f0 39g1 39j0 39p1 39q0 3a51 3a60
3tp1 3ts0 4k21 4k60 4ky1 4l10 4lu1 4lw0 4mq1 4ms0 4ok1 4pg0 4pp1 4pq0 4qz1 4r23
4r31 4r40 4ud1 4uf0 4vd1 4ve0 4yo1 4z00 4z41 4zg0 55j1 55o0 5791 57j0 57k1 57l0
57m1 57n0 57p1 58d0 58f1 58g0 59s1 5b20 5b41 5bg0 5c01 5c50 5dg1 5dx0 5ez1 5f80
5fk1 5fn0 5gh1 5gu0 5ie1 5is0 5k41 5ko0 5ow1 5oz0 5p01 5pl0 5pp1 5pq0 5pw1 5px0
5pz1 5q20 5vk1 5xc0 6bv3 6bw1 6by3 6c00 6co3 6cv0 6e83 6eo0 6hc1 6i90 8vj1 8vm0
8zj1 8zk0 9281 9340 9ii1 9io0 9ll1 9ln0 wvj1 wvn0 wvo1 wvy0 wwu1 www0 wz41 wz60
x6q1 x6r0 x6u1 x6v0 x6z1 x700 x7n1 x7s0 x7w1 x7x0 xa81 xaa0 xbo1 xc60 xcw1 xde0
xdr1 xds0 xeu1 xf20 xfr1 xg40 xhc1 xhg0 xir1 xj50 xk51 xk60 xm11 xmf0 xmr1 xms0
xn01 xn20 xoc1 xod0 xps1 xpt0 xpu1 xpx0 xpz1 xq10 xq61 xq80 xq91 xqa0 xrf1 xrk0
xrp1 xrr0 xyb1 xyj0 xyk1 xym0 1dlq1 1dlr0 1e681 1e6o0 1e741 1e7k0 1edb3 1edc0 1ehq1 1ehs0
1ek03 1ekc0 1eyl1 1eym0 1f4w1 1f4x0 1f921 1f970 1gjl1 1gjo0 1gjp1 1gjr0 1gjw1 1gk00 1gl41 1gl70
1glb1 1glc0 1gpx1 1gpz0 1h5w1 1h600 1h7t1 1h7y0 1hgr1 1hgt0 1hiy1 1hj40 1hl21 1hld0 1hmq1 1hmu0
1hq81 1hqb0 1hrs1 1hs70 1htc1 1htd0 1htf1 1hth0 1htr1 1htv0 1hv41 1hvf0 1hvh2 1hvi0 1hvm1 1hvn0
1hvx2 1hvy0 1hxc1 1hxf0 1hyf1 1hyt0 1hz91 1hzb0 1i0j1 1i0k0 1i0w1 1i0z0 1i2b1 1i2p0 1i2q2 1i2s0
1i2x1 1i310 1i321 1i340 1i5o1 1i600 1i661 1i670 1i691 1i6a0 1ian1 1iaz0 1ibk1 1ibo0 1id71 1id90
1ida1 1idh0 1idj1 1idl0 1idn1 1idq0 1idz1 1ie00 1iea1 1iec0 1iee1 1iel0 1ieo1 1iet0 1igo1 1igx0
1igy1 1igz0 1ih11 1ih20 1ih31 1ih70 1ih81 1ihd2 1ihe1 1ihf0 1iht1 1ihv0 1ik51 1ikn0 1ila1 1ilb0
1ink1 1io40 1iun1 1iuu0 1iuw1 1iv50 1ivw1 1ivy0 1iy81 1iyp0 1j1n1 1j200 1j4t1 1j4w0 1j4y1 1j580
1jcc1 1jcr0 1jjk1 1jjq0 1jjr1 1jjt0 1jjv1 1jjz2 1jk01 1jk12 1jk21 1jk40 1jo11 1jo80 1joa1 1joh0
1jok1 1jol0 1jpd1 1jpn0 1jqr1 1jqy0 1jqz1 1jr30 1jrb1 1jrc0 1jrl1 1jrw0 1jt02 1jt61 1jtm0 1jz41
1jzc0 1k4v1 1k530 1k541 1k5c0 1k7m1 1k880 1k891 1k8n0 1kc11 1kc70 1kca1 1kcb0 1kcc1 1kce0 1kcf1
1kcm2 1kcn1 1kco0 1kei1 1ken0 1keo1 1keq0 1ker1 1kew0 1koj1 1kon0 1kow1 1koy2 1koz1 1kp00 1kqc1
1kqj0 1kqm1 1kqr0 1kre1 1krf0 1ow01 1ow10 1ow71 1owm0 1xr21 1xrk0 1zow1 1zp10 1zqo1 1zqv0 20jz1
20k00 20k11 20lk0 20lr1 20lv0 20o41 20o50 20og1 20oi0 2ftp1 2ftr0 2jgg1 2jhq0 2jhs1 2jif0 2jxh1
2jxm0 2jxp1 2jxv0 2jy31 2jyb0 2jyd1 2jyk0 2jze1 2jzi0 2k3m1 2k3p0 2lmo1 2lo70 2lob1 2lpp0 2lpx1
2lpy0 2lqc1 2lqd0 2lqz1 2lr40 2lr51 2lrk0 2mtc1 2mtj0 2mtk1 2mu10 2mu31 2mua0 2mub1 2mud0 2mue1
2muj0 2mxb1 2mxc0 2n1s1 2n1z0 2nce1 2ncf0 2ne41 2ne80 2nsc1 2nsg0 2nzi1 2nzk0 2o6b1 2o6c0 2o6e1
2o6f0 2o6m1 2o6o0 2o6t1 2o6u0 2ok01 2ok70 2on81 2onf0 2qrf1 2qrk0 jnz41 jo1s0 jo5c1 joc00
"""

# Ascending code points, and the class from each on; of the same length.
STARTS: Final[tuple[int, ...]] = tuple(int(run[:-1], 36) for run in _RUNS.split())
CLASSES: Final[tuple[int, ...]] = tuple(int(run[-1]) for run in _RUNS.split())
