from keras.src import testing

from keras_hashing.methods import CSQ, DCH, DHN, DPSH, DSDH, GreedyHash, HashNet, OrthoHash


class HarnessTest(testing.TestCase):
    """Keras' own harness. It trains layers of one input only; `fit` of the model does that here."""

    def check(self, method, trainable=0, **options):
        self.run_layer_test(
            method,
            init_kwargs={"bits": 16, **options},
            input_shape={"labels_shape": (4, 3), "codes_shape": (4, 16)},
            expected_output_shape=(4,),
            expected_num_trainable_weights=trainable,
            run_training_check=False,
        )

    def test_dpsh(self):
        self.check(DPSH)

    def test_hashnet(self):
        self.check(HashNet)

    def test_hashnet_with_a_memory(self):
        self.check(HashNet, num_classes=3, memory_size=10)

    def test_dhn(self):
        self.check(DHN)

    def test_dch(self):
        self.check(DCH, gamma=5.0)

    def test_dsdh(self):
        self.check(DSDH, num_classes=3)

    def test_csq(self):
        self.check(CSQ, num_classes=3, seed=2)

    def test_greedy_hash(self):
        self.check(GreedyHash, num_classes=3, trainable=1)

    def test_ortho_hash(self):
        self.check(OrthoHash, num_classes=3, margin=0.3)
