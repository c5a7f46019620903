from keras.src import testing

from keras_hashing.methods import DPSH, HashNet


class HarnessTest(testing.TestCase):
    """Keras' own harness. It trains layers of one input only; `fit` of the model does that here."""

    def check(self, method, **options):
        self.run_layer_test(
            method,
            init_kwargs={"bits": 16, **options},
            input_shape={"labels_shape": (4, 3), "codes_shape": (4, 16)},
            expected_output_shape=(4,),
            expected_num_trainable_weights=0,
            run_training_check=False,
        )

    def test_dpsh(self):
        self.check(DPSH)

    def test_hashnet(self):
        self.check(HashNet)

    def test_hashnet_with_a_memory(self):
        self.check(HashNet, num_classes=3, memory_size=10)
